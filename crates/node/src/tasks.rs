//! Work in the runtime's thread pool.

use std::panic::{catch_unwind, AssertUnwindSafe};

use mmap_native_core::Result;
use napi::{Env, Task};

use crate::error::to_js;

type Job = Box<dyn FnOnce() -> Result<()> + Send>;

/// One piece of work, done once, off the event loop. Its promise resolves to nothing.
pub struct Work(Option<Job>);

impl Work {
    /// The work that `job` does.
    pub fn new(job: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self(Some(Box::new(job)))
    }
}

impl Task for Work {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        let Some(job) = self.0.take() else { return Ok(()) };
        // A panic that left this function would abort the process.
        match catch_unwind(AssertUnwindSafe(job)) {
            Ok(result) => result.map_err(to_js),
            Err(_) => Err(napi::Error::from_reason("internal error: the work panicked")),
        }
    }

    fn resolve(&mut self, _env: Env, _output: ()) -> napi::Result<()> {
        Ok(())
    }
}
