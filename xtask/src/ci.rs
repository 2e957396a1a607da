//! `ci`: everything that continuous integration checks, in timed sections.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// The command that the README gives for running the tests.
const TEST_COMMAND: &str = "cargo test --workspace";

/// Where fixtures of published models may lie, seen from the workspace's root.
const REAL_MODELS: &str = "../shared/data/real";

pub fn run() -> Result<ExitCode> {
    let sh = Shell::new()?;
    sh.change_dir(crate::tidy::root());
    let started = Instant::now();
    section("format", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    section("tidy", crate::tidy::check)?;
    section("clippy", || {
        Ok(cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?)
    })?;
    section("test", || {
        let readme = sh.read_file("README.md")?;
        ensure!(readme.contains(TEST_COMMAND), "README.md does not give `{TEST_COMMAND}`");
        let words: Vec<&str> = TEST_COMMAND.split(' ').skip(1).collect();
        Ok(cmd!(sh, "cargo {words...}").run()?)
    })?;
    section("without candle", || {
        let tree = cmd!(sh, "cargo tree -p lstm-hand --no-default-features -e normal").read()?;
        ensure!(!tree.contains("candle"), "lstm-hand without default features depends on candle");
        cmd!(sh, "cargo clippy -p lstm-core -p lstm-hand --no-default-features --all-targets -- -D warnings")
            .run()?;
        // Once for each set of instructions; one that the processor lacks becomes its widest.
        for set in ["scalar", "avx2", "avx512", "neon"] {
            let _set = sh.push_env("LSTM_INSTRUCTION_SET", set);
            cmd!(sh, "cargo test -p lstm-core -p lstm-hand --no-default-features").run()?;
        }
        Ok(())
    })?;
    section("machine code", || {
        // Debug builds skip it: they check what the optimiser proves.
        let step = "cargo test --release -p lstm-hand --no-default-features --test step";
        let words: Vec<&str> = step.split(' ').skip(1).collect();
        Ok(cmd!(sh, "cargo {words...}").run()?)
    })?;
    section("documentation", || {
        let _strict = sh.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(sh, "cargo doc --workspace --no-deps").run()?)
    })?;
    section("examples", || {
        // Built with the whole workspace, as the tests are: alone they would need other features of theirs.
        cmd!(sh, "cargo build --workspace --examples").run()?;
        let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
        for example in crate::tidy::examples()? {
            // Those of published models say that they are skipped where the folder is absent; others need none.
            cmd!(sh, "{target}/debug/examples/{example} {REAL_MODELS}").run()?;
        }
        Ok(())
    })?;
    section("package", || {
        Ok(cmd!(sh, "cargo package --workspace --no-verify --allow-dirty").run()?)
    })?;
    println!("ci passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn section(name: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let started = Instant::now();
    body()?;
    println!("== {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
