//! The networks of the ImageNet family for peers that are tensor libraries: weights from safetensors, batch
//! norm folded into the convolutions.

use safetensors::SafeTensors;

use crate::{Case, Error};

/// The epsilon of every batch norm.
const EPSILON: f64 = 1e-5;

/// What the networks need of a library. Tensors are NCHW.
pub(crate) trait Library {
    type Tensor: Clone;
    type Conv;
    type Linear;

    fn conv(&self, conv: Folded) -> Result<Self::Conv, Error>;
    /// `weight` is `[classes, features]`.
    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>) -> Result<Self::Linear, Error>;

    fn apply(conv: &Self::Conv, x: &Self::Tensor) -> Result<Self::Tensor, Error>;
    fn relu(x: Self::Tensor) -> Result<Self::Tensor, Error>;
    fn add(a: Self::Tensor, b: Self::Tensor) -> Result<Self::Tensor, Error>;
    /// 3x3, stride 2, of what is not negative.
    fn max_pool(x: Self::Tensor) -> Result<Self::Tensor, Error>;
    /// The mean of each channel, then the classifier.
    fn head(linear: &Self::Linear, x: Self::Tensor) -> Result<Vec<f32>, Error>;
}

/// A convolution with its batch norm.
pub(crate) struct Folded {
    /// OIHW.
    pub(crate) weight: Vec<f32>,
    pub(crate) shape: [usize; 4],
    pub(crate) bias: Vec<f32>,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

struct Block<L: Library> {
    convs: Vec<L::Conv>,
    shortcut: Option<L::Conv>,
}

pub(crate) struct ResNet<L: Library> {
    stem: L::Conv,
    blocks: Vec<Block<L>>,
    linear: L::Linear,
}

impl<L: Library> ResNet<L> {
    pub(crate) fn load(library: &L, case: &Case) -> Result<Self, Error> {
        let (counts, convs) = match case.arch.as_str() {
            "resnet18" => ([2, 2, 2, 2], 2),
            "resnet34" => ([3, 4, 6, 3], 2),
            "resnet50" => ([3, 4, 6, 3], 3),
            "resnet101" => ([3, 4, 23, 3], 3),
            "resnet152" => ([3, 8, 36, 3], 3),
            arch => return Err(format!("{arch} is not of the ImageNet family").into()),
        };
        let bytes = std::fs::read(&case.model)?;
        let file = SafeTensors::deserialize(&bytes)?;
        let load =
            |conv: String, norm: String, stride| library.conv(fold(&file, &conv, &norm, stride)?);
        let mut blocks = Vec::new();
        for (stage, count) in counts.into_iter().enumerate() {
            for block in 0..count {
                let name = format!("layer{}.{block}", stage + 1);
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let convs = (1..=convs).map(|i| {
                    // The first 3x3 has it.
                    let stride = if i == convs - 1 { stride } else { 1 };
                    load(format!("{name}.conv{i}"), format!("{name}.bn{i}"), stride)
                });
                let convs = convs.collect::<Result<_, _>>()?;
                let down = format!("{name}.downsample");
                let shortcut = file.tensor(&format!("{down}.0.weight")).is_ok();
                let shortcut = shortcut
                    .then(|| load(format!("{down}.0"), format!("{down}.1"), stride))
                    .transpose()?;
                blocks.push(Block { convs, shortcut });
            }
        }
        let stem = load("conv1".into(), "bn1".into(), 2)?;
        let linear = library.linear(values(&file, "fc.weight")?, values(&file, "fc.bias")?)?;
        Ok(Self { stem, blocks, linear })
    }

    /// The logits.
    pub(crate) fn run(&self, x: &L::Tensor) -> Result<Vec<f32>, Error> {
        let mut x = L::max_pool(L::relu(L::apply(&self.stem, x)?)?)?;
        for block in &self.blocks {
            let shortcut = match &block.shortcut {
                Some(conv) => L::apply(conv, &x)?,
                None => x.clone(),
            };
            let (last, others) = block.convs.split_last().expect("a block has convolutions");
            for conv in others {
                x = L::relu(L::apply(conv, &x)?)?;
            }
            x = L::relu(L::add(L::apply(last, &x)?, shortcut)?)?;
        }
        L::head(&self.linear, x)
    }
}

fn values(file: &SafeTensors, name: &str) -> Result<Vec<f32>, Error> {
    let bytes = file.tensor(name)?.data();
    Ok(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

fn fold(file: &SafeTensors, conv: &str, norm: &str, stride: usize) -> Result<Folded, Error> {
    let shape: [usize; 4] = file.tensor(&format!("{conv}.weight"))?.shape().try_into()?;
    let mut weight = values(file, &format!("{conv}.weight"))?;
    let of = |kind: &str| values(file, &format!("{norm}.{kind}"));
    let (gamma, beta, mean, variance) =
        (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
    let mut bias = Vec::new();
    for (o, filter) in weight.chunks_exact_mut(shape[1] * shape[2] * shape[3]).enumerate() {
        let scale = f64::from(gamma[o]) / (f64::from(variance[o]) + EPSILON).sqrt();
        filter.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
        bias.push((f64::from(beta[o]) - f64::from(mean[o]) * scale) as f32);
    }
    Ok(Folded { weight, shape, bias, stride, padding: shape[2] / 2 })
}
