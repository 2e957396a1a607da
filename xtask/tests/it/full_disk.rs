//! A run that cannot write ends with an error that names the file and the reason, leaves nothing half-written,
//! and goes on to the same bits once it can write.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lstm_train::{Checkpoint, RunFolder};

use crate::tiny::{Left, Tiny, files};

/// Starts a run and kills it once it has a checkpoint.
fn begun(tiny: &Tiny, run: &Path) {
    let mut child = tiny.train(run, &[]).spawn().unwrap();
    let started = Instant::now();
    let has_checkpoint = || {
        let names = files(run);
        names.iter().any(|name| name == "run.json")
            && names.iter().any(|name| name.starts_with('0') && name.ends_with("safetensors"))
    };
    while !has_checkpoint() {
        assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint: {:?}", files(run));
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
}

/// A run ended because it could not write; what it has left is whole.
#[track_caller]
fn check(output: &Output, run: &Path, reason: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    for word in [reason, &run.display().to_string()] {
        assert!(errors.contains(word), "{word:?} is missing in: {errors}");
    }
    let names = files(run);
    assert!(!names.iter().any(|name| name.ends_with("partial")), "{names:?}");
}

/// The newest checkpoint of a run can be read.
#[track_caller]
fn check_checkpoint(run: &Path) {
    let (folder, _) = RunFolder::open(run).unwrap();
    let (step, newest) = folder.checkpoints().unwrap().pop().unwrap();
    assert_eq!(Checkpoint::load(&newest).unwrap().progress.step, step);
}

/// The command under a limit of 2 KiB a file. What would end it by a signal is an error there.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 4; trap '' XFSZ; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap());
    limited
}

#[test]
fn a_file_that_may_not_grow_ends_the_run() {
    let tiny = Tiny::new("memory");
    let [whole, run, new] = ["whole", "run", "new"].map(|name| tiny.path(name));
    tiny.finish(&whole, &[]);
    begun(&tiny, &run);
    let output = limited(&tiny.train(&run, &["--resume"])).output().unwrap();
    check(&output, &run, "File too large");
    check_checkpoint(&run);
    tiny.finish(&run, &["--resume"]);
    Left::read(&run).assert_same(&Left::read(&whole));
    // A run that never came to a checkpoint is started anew, with --resume or without.
    for more in [&["--resume"][..], &[]] {
        let output = limited(&tiny.train(&new, more)).output().unwrap();
        check(&output, &new, "File too large");
    }
    tiny.finish(&new, &[]);
    Left::read(&new).assert_same(&Left::read(&whole));
}

/// A small file system in memory, as long as this value lives.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    /// `None` where it cannot be mounted.
    fn new(path: &'a Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(path);
        let output = mount.output().ok()?;
        output.status.success().then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run() {
    let tiny = Tiny::new("memory");
    let disk = tiny.path("disk");
    let Some(mounted) = Mounted::new(&disk) else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let (whole, run, ballast) = (tiny.path("whole"), disk.join("run"), disk.join("ballast"));
    tiny.finish(&whole, &[]);
    begun(&tiny, &run);
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    let output = tiny.train(&run, &["--resume"]).output().unwrap();
    check(&output, &run, "No space left on device");
    check_checkpoint(&run);
    std::fs::remove_file(&ballast).unwrap();
    tiny.finish(&run, &["--resume"]);
    Left::read(&run).assert_same(&Left::read(&whole));
    drop(mounted);
}
