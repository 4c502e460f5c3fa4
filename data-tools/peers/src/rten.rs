//! rten: reads the ONNX file; weights packed when it loads.

use rten::{ModelOptions, RunOptions, ThreadPool};
use rten_tensor::{NdTensor, NdTensorView};
use std::sync::Arc;

use crate::{Case, Error, Run};

pub(crate) fn load(case: Case) -> Result<Run, Error> {
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&case.model)?;
    let pool = Arc::new(ThreadPool::with_num_threads(case.threads));
    Ok(Box::new(move || {
        let x = NdTensorView::from_data(case.shape, &case.input[..]);
        let mut options = RunOptions::default();
        options.thread_pool = Some(pool.clone());
        let y: NdTensor<f32, 2> = model.run_one(x.into(), Some(options))?.try_into()?;
        Ok(y.into_data())
    }))
}
