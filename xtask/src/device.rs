//! Where a command's models live, and what their products are computed in.

use anyhow::{Result, ensure};
use candle_core::Device;
use clap::ValueEnum;

/// The device of a command.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Place {
    /// Where the models live; cuda needs the feature of that name (docs/cuda.md).
    #[arg(long, value_enum, default_value_t)]
    device: Kind,
    /// What a CUDA device computes the products of f32 numbers in.
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[default]
    Cpu,
    Cuda,
}

/// The precision of products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// Factors rounded to TF32.
    Tf32,
    /// Factors rounded to bf16.
    Bf16,
}

/// What tells a worker of `bench` its device and precision.
const VARIABLES: [&str; 2] = ["PEER_DEVICE", "PEER_PRECISION"];

impl Place {
    /// That of a worker, as whoever started it says.
    pub fn of_worker() -> Result<Self> {
        let [device, precision] = VARIABLES.map(|name| std::env::var(name).ok());
        Ok(Self { device: value(device)?, precision: value(precision)? })
    }

    /// What says so to a worker.
    pub fn variables(self) -> [(&'static str, String); 2] {
        let [device, precision] = VARIABLES;
        [(device, word(self.device)), (precision, word(self.precision))]
    }

    /// Whether it is not the CPU.
    pub fn is_cuda(self) -> bool {
        self.device == Kind::Cuda
    }

    /// The precision of products.
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// The device, with the precision set for the whole process.
    ///
    /// # Errors
    ///
    /// A device that is not there or that this program was built without; a precision that it does not have.
    pub fn open(self) -> Result<Device> {
        match self.device {
            Kind::Cpu => {
                let is_f32 = self.precision == Precision::F32;
                ensure!(
                    is_f32,
                    "--precision: expected f32 on the CPU, got {}",
                    word(self.precision)
                );
                Ok(Device::Cpu)
            }
            Kind::Cuda => open_cuda(self.precision),
        }
    }

    /// What a run's record says of the precision: the device is there already.
    pub fn note(self) -> String {
        match self.precision {
            Precision::F32 => String::new(),
            other => format!(" in {}", word(other)),
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(precision: Precision) -> Result<Device> {
    use lstm_hand::cuda;
    cuda::set_precision(match precision {
        Precision::F32 => cuda::Precision::F32,
        Precision::Tf32 => cuda::Precision::Tf32,
        Precision::Bf16 => cuda::Precision::Bf16,
    });
    candle_core::cuda::set_gemm_reduced_precision_f32(precision != Precision::F32);
    Ok(Device::new_cuda(0)?)
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: Precision) -> Result<Device> {
    anyhow::bail!(
        "--device: expected cpu (built without the feature cuda, see docs/cuda.md), got cuda"
    )
}

/// A value's word on the command line.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn value<T: ValueEnum + Default>(text: Option<String>) -> Result<T> {
    let Some(text) = text else { return Ok(T::default()) };
    T::from_str(&text, false).map_err(anyhow::Error::msg)
}
