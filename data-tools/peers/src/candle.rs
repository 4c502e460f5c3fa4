//! candle: a ResNet of its tensor operations. Threads by RAYON_NUM_THREADS.

use candle_core::{Device, Tensor};

use crate::resnet::{Folded, Library, ResNet};
use crate::{Case, Error, Run};

struct Candle;

struct Conv {
    weight: Tensor,
    /// `[1, channels, 1, 1]`.
    bias: Tensor,
    stride: usize,
    padding: usize,
}

pub(crate) fn load(case: Case) -> Result<Run, Error> {
    let network = ResNet::load(&Candle, &case)?;
    let x = Tensor::from_vec(case.input, &case.shape, &Device::Cpu)?;
    Ok(Box::new(move || network.run(&x)))
}

impl Library for Candle {
    type Tensor = Tensor;
    type Conv = Conv;
    type Linear = (Tensor, Tensor);

    fn conv(&self, conv: Folded) -> Result<Conv, Error> {
        let Folded { weight, shape, bias, stride, padding } = conv;
        let weight = Tensor::from_vec(weight, &shape, &Device::Cpu)?;
        let bias = Tensor::from_vec(bias, (1, shape[0], 1, 1), &Device::Cpu)?;
        Ok(Conv { weight, bias, stride, padding })
    }

    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>) -> Result<(Tensor, Tensor), Error> {
        let shape = (bias.len(), weight.len() / bias.len());
        let weight = Tensor::from_vec(weight, shape, &Device::Cpu)?.t()?.contiguous()?;
        Ok((weight, Tensor::from_vec(bias, shape.0, &Device::Cpu)?))
    }

    fn apply(conv: &Conv, x: &Tensor) -> Result<Tensor, Error> {
        let y = x.conv2d(&conv.weight, conv.padding, conv.stride, 1, 1)?;
        Ok(y.broadcast_add(&conv.bias)?)
    }

    fn relu(x: Tensor) -> Result<Tensor, Error> {
        Ok(x.relu()?)
    }

    fn add(a: Tensor, b: Tensor) -> Result<Tensor, Error> {
        Ok((a + b)?)
    }

    fn max_pool(x: Tensor) -> Result<Tensor, Error> {
        let x = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
        Ok(x.max_pool2d_with_stride(3, 2)?)
    }

    fn head((weight, bias): &(Tensor, Tensor), x: Tensor) -> Result<Vec<f32>, Error> {
        let y = x.mean((2, 3))?.matmul(weight)?.broadcast_add(bias)?;
        Ok(y.flatten_all()?.to_vec1()?)
    }
}
