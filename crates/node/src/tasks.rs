//! Work in the runtime's thread pool.

use std::panic::{catch_unwind, AssertUnwindSafe};

use mmap_native_core::Result;
use napi::bindgen_prelude::{ToNapiValue, TypeName};
use napi::{Env, Task};

use crate::error::to_js;

type Job<T> = Box<dyn FnOnce() -> Result<T> + Send>;

/// One piece of work, done once, off the event loop. Its promise resolves to what it returns.
pub struct Work<T>(Option<Job<T>>);

impl<T> Work<T> {
    /// The work that `job` does.
    pub fn new(job: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self(Some(Box::new(job)))
    }
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<T> {
        let job = self.0.take().ok_or_else(|| napi::Error::from_reason("internal error: the work was done before"))?;
        // A panic that left this function would abort the process.
        match catch_unwind(AssertUnwindSafe(job)) {
            Ok(result) => result.map_err(to_js),
            Err(_) => Err(napi::Error::from_reason("internal error: the work panicked")),
        }
    }

    fn resolve(&mut self, _env: Env, output: T) -> napi::Result<T> {
        Ok(output)
    }
}
