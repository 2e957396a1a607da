//! Where a run begins: from nothing, or from its last checkpoint.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lstm_core::variables;

use super::Trainer;
use crate::checkpoint::{Checkpoint, Live, Progress};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::metrics::MetricsFile;
use crate::optimizer::Average;
use crate::run_folder::{Identity, RunFolder};
use crate::setup::Setup;
use crate::task::Task;

impl<T: Task> Trainer<T> {
    /// Starts a run in `folder`, replacing one that is there.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a configuration that cannot train, or a folder with files that no run wrote;
    /// [`Error::Io`].
    pub fn start(setup: Setup<T>, folder: &Path) -> Result<Self> {
        setup.train.check()?;
        total_steps(&setup.train, &setup.task)?;
        let identity = setup.identity()?;
        let files = setup.task.files()?;
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        let folder = RunFolder::create(folder, &names)?;
        for (name, bytes) in &files {
            folder.write(name, bytes)?;
        }
        let mut trainer = Self::open(setup, identity, folder, None)?;
        trainer.save()?;
        // With this the folder is a run: from here on there is something to resume.
        trainer.folder.record(&trainer.identity)?;
        let parameters: usize = trainer.variables.iter().map(|(_, var)| var.elem_count()).sum();
        tracing::info!(parameters, path = %trainer.folder.path().display(), "start");
        Ok(trainer)
    }

    /// Continues the run in `folder` from its last checkpoint; where that is damaged, from the one before.
    ///
    /// The settings must be those of the run, but for some that change no result: see
    /// [`Checkpoint::check_identity`].
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] where every checkpoint is damaged or of another run (the message names what
    /// differs); [`Error::Io`] where there is none.
    pub fn resume(setup: Setup<T>, folder: &Path) -> Result<Self> {
        setup.train.check()?;
        let identity = setup.identity()?;
        let (mut folder, _) = RunFolder::open(folder)?;
        folder.claim()?;
        folder.clean()?;
        let (path, mut checkpoint) = last(&folder)?;
        checkpoint.check_identity(&path, &identity)?;
        if checkpoint.epochs() != Some(setup.train.epochs) || !folder.test().exists() {
            // It was tested after fewer epochs, or another number of them was asked for since.
            checkpoint.progress.test = None;
            folder.remove_test()?;
        }
        tracing::info!(step = checkpoint.progress.step, path = %path.display(), "resume");
        let trainer = Self::open(setup, identity, folder, Some((&path, checkpoint)))?;
        trainer.folder.record(&trainer.identity)?;
        Ok(trainer)
    }

    /// Continues the run in `folder` where there is one, and starts it elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Trainer::resume`] and [`Trainer::start`].
    pub fn resume_or_start(setup: Setup<T>, folder: &Path) -> Result<Self> {
        if RunFolder::is_run(folder) {
            Self::resume(setup, folder)
        } else {
            Self::start(setup, folder)
        }
    }

    fn open(
        mut setup: Setup<T>,
        identity: Identity,
        folder: RunFolder,
        saved: Option<(&Path, Checkpoint)>,
    ) -> Result<Self> {
        let total = total_steps(&setup.train, &setup.task)?;
        let variables = variables::sorted(&setup.variables);
        let mut optimizer = setup.train.optimizer.start(variables.clone())?;
        let mut average = None;
        let mut progress = Progress::default();
        if let Some((path, checkpoint)) = saved {
            progress = checkpoint.progress.clone();
            if let (Some(_), Some(config)) = (progress.averaged, &setup.train.average) {
                average = Some(Average::begin(variables.clone(), config)?);
            }
            let live = Live {
                variables: &variables,
                optimizer: &mut *optimizer,
                average: average.as_mut(),
            };
            setup.task.carry(checkpoint.restore(path, live)?)?;
        }
        // Lines written after the checkpoint will be written again.
        let metrics = MetricsFile::open(&folder.metrics(), |metric| metric.is_before(&progress))?;
        let saved = (Instant::now(), progress.step);
        Ok(Self {
            config: setup.train,
            total,
            identity,
            task: setup.task,
            variables,
            optimizer,
            average,
            progress,
            folder,
            metrics,
            saved,
            pending: None,
        })
    }
}

/// The steps of a whole run.
///
/// # Errors
///
/// [`Error::Invalid`] where the schedule does not fit into them.
fn total_steps(config: &TrainConfig, task: &impl Task) -> Result<u64> {
    let n_batches = |epoch| task.n_batches(config.seed, epoch) as u64;
    let total = (0..config.epochs).map(n_batches).sum();
    config.schedule.check_total(total)?;
    Ok(total)
}

/// The newest checkpoint that can be read; damaged ones that are newer are put aside.
fn last(folder: &RunFolder) -> Result<(PathBuf, Checkpoint)> {
    let mut damaged = Vec::new();
    for (_, path) in folder.checkpoints()?.into_iter().rev() {
        match Checkpoint::load(&path) {
            Err(error @ Error::Checkpoint { .. }) => damaged.push((path, error)),
            Err(error) => return Err(error),
            Ok(checkpoint) => {
                for (path, error) in damaged {
                    tracing::warn!(%error, "damaged; the checkpoint before is used");
                    let aside = path.with_extension("damaged");
                    std::fs::rename(&path, &aside).map_err(Error::io("resume", &path))?;
                }
                return Ok((path, checkpoint));
            }
        }
    }
    let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "no checkpoint");
    let first = damaged.into_iter().next().map(|(_, error)| error);
    Err(first.unwrap_or_else(|| Error::io("resume", folder.path())(none())))
}
