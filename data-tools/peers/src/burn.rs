//! burn on its flex backend: a ResNet of its tensor operations. Threads by RAYON_NUM_THREADS.

use burn::tensor::module::{conv2d, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};

use crate::resnet::{Folded, Library, ResNet};
use crate::{Case, Error, Run};

struct Burn(Device);

struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    options: ConvOptions<2>,
}

pub(crate) fn load(case: Case) -> Result<Run, Error> {
    let burn = Burn(Device::flex());
    let network = ResNet::load(&burn, &case)?;
    let x = burn.tensor::<4>(case.input, case.shape);
    Ok(Box::new(move || network.run(&x)))
}

impl Burn {
    fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &self.0)
    }
}

impl Library for Burn {
    type Tensor = Tensor<4>;
    type Conv = Conv;
    type Linear = (Tensor<2>, Tensor<1>);

    fn conv(&self, conv: Folded) -> Result<Conv, Error> {
        let Folded { weight, shape, bias, stride, padding } = conv;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        Ok(Conv {
            weight: self.tensor(weight, shape),
            bias: self.tensor(bias, [shape[0]]),
            options,
        })
    }

    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>) -> Result<Self::Linear, Error> {
        let (classes, features) = (bias.len(), weight.len() / bias.len());
        Ok((self.tensor(weight, [classes, features]).transpose(), self.tensor(bias, [classes])))
    }

    fn apply(conv: &Conv, x: &Tensor<4>) -> Result<Tensor<4>, Error> {
        Ok(conv2d(x.clone(), conv.weight.clone(), Some(conv.bias.clone()), conv.options.clone()))
    }

    fn relu(x: Tensor<4>) -> Result<Tensor<4>, Error> {
        Ok(burn::tensor::activation::relu(x))
    }

    fn add(a: Tensor<4>, b: Tensor<4>) -> Result<Tensor<4>, Error> {
        Ok(a + b)
    }

    fn max_pool(x: Tensor<4>) -> Result<Tensor<4>, Error> {
        let options = MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]);
        Ok(max_pool2d(x, options))
    }

    fn head((weight, bias): &Self::Linear, x: Tensor<4>) -> Result<Vec<f32>, Error> {
        let features = x.mean_dim(3).mean_dim(2).flatten::<2>(1, 3);
        Ok(linear(features, weight.clone(), Some(bias.clone())).into_data().try_to_vec()?)
    }
}
