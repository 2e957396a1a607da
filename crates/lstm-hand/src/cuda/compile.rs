//! Kernels, compiled at run time for the sizes of a plan, and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaContext, CudaFunction, sys};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use lstm_core::{Error, Result};

use super::OP;
use super::plan::{Limits, Pass, Plan, Task};

const PRODUCT: &str = include_str!("kernels/product.cuh");
const EXCHANGE: &str = include_str!("kernels/exchange.cuh");
const FORWARD: &str = include_str!("kernels/forward.cu");
const BACKWARD: &str = include_str!("kernels/backward.cu");

/// Plans and kernels of the process, by the number of their device.
#[derive(Default)]
struct Known {
    plans: HashMap<(usize, Task), Plan>,
    /// By plan but for what a launch is given.
    kernels: HashMap<(usize, Plan), CudaFunction>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// The plan for a task and its kernel, from what the process has or compiled now, which takes about a second.
///
/// # Errors
///
/// As [`Plan::best`]; [`Error::Unsupported`] for a device that is too old; [`Error::Candle`] where the compiler or the
/// driver fails.
pub(super) fn kernel(device: &CudaDevice, task: Task) -> Result<(Plan, CudaFunction)> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let Known { plans, kernels } = known.get_or_insert_default();
    let plan = match plans.get(&(context.ordinal(), task)) {
        Some(plan) => *plan,
        None => {
            let plan = Plan::best(task, limits(context)?)?;
            plans.insert((context.ordinal(), task), plan);
            plan
        }
    };
    // How many rows, layers and slices there are is said at the launch.
    let mut key = plan;
    (key.task.batch, key.task.layers, key.slices) = (0, 0, 0);
    let key = (context.ordinal(), key);
    if let Some(kernel) = kernels.get(&key) {
        return Ok((plan, kernel.clone()));
    }
    let kernel = compile(context, &plan)?;
    kernels.insert(key, kernel.clone());
    Ok((plan, kernel))
}

/// What the device has.
fn limits(context: &CudaContext) -> Result<Limits> {
    use sys::CUdevice_attribute_enum as Attribute;
    let (major, minor) = context.compute_capability().w()?;
    if major < 8 {
        return Err(Error::Unsupported {
            op: OP,
            what: format!("a device of compute capability {major}.{minor}"),
            reason: "the kernels need 8.0; use lstm-candle".to_owned(),
        });
    }
    let attribute = |attribute| Ok::<_, Error>(context.attribute(attribute).w()? as usize);
    let shared = Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    Ok(Limits {
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes: attribute(shared)?,
    })
}

fn compile(context: &Arc<CudaContext>, plan: &Plan) -> Result<CudaFunction> {
    let (name, source) = match plan.task.pass {
        Pass::Forward => ("forward", FORWARD),
        Pass::Backward => ("backward", BACKWARD),
    };
    let (major, minor) = context.compute_capability().w()?;
    let mut options = vec![format!("--gpu-architecture=compute_{major}{minor}")];
    options.extend(plan.definitions().into_iter().map(|(name, value)| format!("-D{name}={value}")));
    let options =
        CompileOptions { options, name: Some(format!("{name}.cu")), ..CompileOptions::default() };
    let ptx = compile_ptx_with_opts([PRODUCT, EXCHANGE, source].join("\n"), options);
    let module = context.load_module(ptx.map_err(candle_core::Error::wrap)?).w()?;
    let kernel = module.load_function(name).w()?;
    let shared = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    kernel.set_attribute(shared, plan.shared_bytes() as i32).w()?;
    Ok(kernel)
}
