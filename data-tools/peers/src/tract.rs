//! tract: reads the ONNX file; products on several threads.

use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

use crate::{Case, Error, Run};

pub(crate) fn load(case: Case) -> Result<Run, Error> {
    set_default_executor(match case.threads {
        1 => Executor::SingleThread,
        threads => Executor::multithread(threads),
    });
    let model =
        tract_onnx::onnx().model_for_path(&case.model)?.into_optimized()?.into_runnable()?;
    let x: TValue = Tensor::from_shape(&case.shape, &case.input)?.into();
    Ok(Box::new(move || {
        let y = model.run(tvec!(x.clone()))?;
        Ok(y[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    }))
}
