//! Writing a network as an ONNX file, so that other runtimes run what was trained here.
//!
//! The graph has the network's own layers, batch norm among them: runtimes fold it when they load. Its input
//! is `input`, `[batch, channels, height, width]`, prepared as the metadata say and normalised; its output `logits`,
//! `[batch, classes]`. Batch, height and width are free. A per-pixel mean is subtracted in the graph.

mod proto;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use super::{PixelMean, WeightsError};
use crate::model::{
    BN_EPSILON, BlockShortcut, ConvBn, Network, ParamSource, SourceError, TensorId,
};
use crate::runtime::{Storage, write_durably};
use proto::{
    Attribute, Dimension, Entry, FLOAT, Graph, INT, INTS, Model, Node, OperatorSet, Shape,
    TENSOR_FLOAT, TENSOR_INT64, Tensor, TensorType, Type, Value,
};

/// The format's version, and that of its operators: read by every runtime of the last years.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

const INPUT: &str = "input";
const LOGITS: &str = "logits";

/// Writes `network` with the values in `source` as an ONNX file; `metadata` become its properties. Takes
/// memory for twice the weights.
///
/// # Errors
/// The source cannot be read or the file cannot be written. A file of that name is whole even then.
pub fn write_onnx_to(
    storage: &dyn Storage,
    path: &Path,
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let bytes = model(network, source, pixel_mean, metadata)?.encode_to_vec();
    let written = write_durably(storage, path, |out| out.write_all(&bytes));
    written.map_err(|error| WeightsError::Io { path: path.to_owned(), action: "write", error })
}

fn model(
    network: &Network,
    source: &dyn ParamSource,
    pixel_mean: Option<&PixelMean<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<Model, SourceError> {
    let mut build = Builder { network, source, graph: Graph::default() };
    build.network(pixel_mean)?;
    let mut graph = build.graph;
    graph.name = network.spec.name.clone();
    let sides = match pixel_mean {
        Some(mean) => [number(mean.height), number(mean.width)],
        None => [name("height"), name("width")],
    };
    let [height, width] = sides;
    let channels = number(network.in_channels());
    graph.input.push(value(INPUT, vec![name("batch"), channels, height, width]));
    let classes = number(network.fc.out_features);
    graph.output.push(value(LOGITS, vec![name("batch"), classes]));
    let entry = |(key, value): (&String, &String)| Entry { key: key.clone(), value: value.clone() };
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "resnet-cpu".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: metadata.iter().map(entry).collect(),
    })
}

struct Builder<'a> {
    network: &'a Network,
    source: &'a dyn ParamSource,
    graph: Graph,
}

impl Builder<'_> {
    fn network(&mut self, pixel_mean: Option<&PixelMean<'_>>) -> Result<(), SourceError> {
        let network = self.network;
        let mut x = INPUT.to_owned();
        if let Some(PixelMean { height, width, values }) = pixel_mean {
            // [height, width, 3] to [1, 3, height, width].
            let channel = |c: usize| values.iter().skip(c).step_by(3).copied();
            let planes: Vec<f32> = (0..3).flat_map(channel).collect();
            let mean = self.floats("pixel_mean", &[1, 3, *height, *width], &planes);
            x = self.node("Sub", "normalised", &[&x, &mean], vec![]);
        }
        x = self.conv_bn(&network.stem, &x)?;
        x = self.node("Relu", "relu", &[&x], vec![]);
        for conv in &network.deep_stem {
            x = self.conv_bn(conv, &x)?;
            x = self.node("Relu", &format!("{}.relu", conv.name), &[&x], vec![]);
        }
        if network.stem_pool {
            x = self.max_pool("maxpool", &x, 3, 2, 1);
        }
        for block in &network.blocks {
            let mut y = x.clone();
            if block.pool {
                y = self.max_pool(&format!("{}.pool", block.name), &y, 2, 2, 0);
            }
            for (i, conv) in block.convs.iter().enumerate() {
                if i > 0 {
                    y = self.node("Relu", &format!("{}.relu{i}", block.name), &[&y], vec![]);
                }
                y = self.conv_bn(conv, &y)?;
            }
            let bypass = match &block.shortcut {
                BlockShortcut::None => None,
                BlockShortcut::Identity => Some(x.clone()),
                BlockShortcut::Project(conv) if block.shortcut_pool => {
                    let pooled = self.half_pool(&format!("{}.avgpool", block.name), &x);
                    Some(self.conv_bn(conv, &pooled)?)
                }
                BlockShortcut::Project(conv) => Some(self.conv_bn(conv, &x)?),
                BlockShortcut::Pad { stride, channels_before, channels_after } => {
                    Some(self.padded(&block.name, &x, *stride, *channels_before, *channels_after))
                }
            };
            if let Some(bypass) = bypass {
                y = self.node("Add", &format!("{}.add", block.name), &[&y, &bypass], vec![]);
            }
            x = self.node("Relu", &format!("{}.relu", block.name), &[&y], vec![]);
        }
        x = self.node("GlobalAveragePool", "avgpool", &[&x], vec![]);
        x = self.node("Flatten", "flatten", &[&x], vec![int("axis", 1)]);
        let (weight, bias) = (self.tensor(network.fc.weight)?, self.tensor(network.fc.bias)?);
        self.node("Gemm", LOGITS, &[&x, &weight, &bias], vec![int("transB", 1)]);
        Ok(())
    }

    /// A convolution and its batch norm.
    fn conv_bn(&mut self, conv: &ConvBn, x: &str) -> Result<String, SourceError> {
        let weight = self.tensor(conv.weight)?;
        let mut attributes = vec![
            ints("kernel_shape", &[conv.kernel; 2]),
            ints("strides", &[conv.stride; 2]),
            ints("pads", &[conv.padding; 4]),
        ];
        if conv.groups > 1 {
            attributes.push(int("group", conv.groups as i64));
        }
        let y = self.node("Conv", &conv.name, &[x, &weight], attributes);
        let parts = [conv.gamma, conv.beta, conv.running_mean, conv.running_var];
        let [gamma, beta, mean, var] = parts.map(|id| self.tensor(id));
        let epsilon = Attribute {
            name: "epsilon".to_owned(),
            f: Some(BN_EPSILON),
            kind: FLOAT,
            ..Attribute::default()
        };
        let name = format!("{}.bn", conv.name);
        Ok(self.node(
            "BatchNormalization",
            &name,
            &[&y, &gamma?, &beta?, &mean?, &var?],
            vec![epsilon],
        ))
    }

    fn max_pool(
        &mut self,
        name: &str,
        x: &str,
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> String {
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[pad; 4]),
        ];
        self.node("MaxPool", name, &[x], attributes)
    }

    /// The average of 2x2 pixels; at the end of an odd side of those that are there.
    fn half_pool(&mut self, name: &str, x: &str) -> String {
        let attributes = vec![
            ints("kernel_shape", &[2; 2]),
            ints("strides", &[2; 2]),
            int("ceil_mode", 1),
            int("count_include_pad", 0),
        ];
        self.node("AveragePool", name, &[x], attributes)
    }

    /// Option A: every `stride`-th pixel, between channels of zeros.
    fn padded(
        &mut self,
        block: &str,
        x: &str,
        stride: usize,
        before: usize,
        after: usize,
    ) -> String {
        let step = stride as i64;
        let parts = [
            ("starts", vec![0, 0]),
            ("ends", vec![i64::MAX; 2]),
            ("axes", vec![2, 3]),
            ("steps", vec![step, step]),
        ];
        let [starts, ends, axes, steps] =
            parts.map(|(name, values)| self.numbers(&format!("{block}.{name}"), &values));
        let x = self.node(
            "Slice",
            &format!("{block}.slice"),
            &[x, &starts, &ends, &axes, &steps],
            vec![],
        );
        let pads = [0, before as i64, 0, 0, 0, after as i64, 0, 0];
        let pads = self.numbers(&format!("{block}.pads"), &pads);
        self.node("Pad", &format!("{block}.pad"), &[&x, &pads], vec![])
    }

    /// Adds an operator; returns the name of its output, which is its own.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
    ) -> String {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    /// Adds a tensor of the network under its name.
    fn tensor(&mut self, id: TensorId) -> Result<String, SourceError> {
        let info = self.network.tensor(id);
        let values: Cow<'_, [f32]> = self.source.tensor(id)?;
        Ok(self.floats(&info.name, &info.shape, &values))
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, TENSOR_FLOAT, bytes)
    }

    fn numbers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], TENSOR_INT64, bytes)
    }

    fn constant(
        &mut self,
        name: &str,
        shape: &[usize],
        data_type: i32,
        raw_data: Vec<u8>,
    ) -> String {
        let dims = shape.iter().map(|&n| n as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type, name: name.to_owned(), raw_data });
        name.to_owned()
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(i), kind: INT, ..Attribute::default() }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&n| n as i64).collect();
    Attribute { name: name.to_owned(), ints, kind: INTS, ..Attribute::default() }
}

fn number(n: usize) -> Dimension {
    Dimension { value: Some(n as i64), param: None }
}

fn name(text: &str) -> Dimension {
    Dimension { value: None, param: Some(text.to_owned()) }
}

fn value(name: &str, dim: Vec<Dimension>) -> Value {
    let tensor = TensorType { elements: TENSOR_FLOAT, shape: Some(Shape { dim }) };
    Value { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use std::collections::BTreeSet;

    #[test]
    fn every_input_is_made_before_and_every_tensor_is_there() {
        for (arch, nodes) in [
            ("resnet20", 73),
            ("resnet50", 175),
            ("plain18", 55),
            ("resnet18", 69),
            ("resnet50d", 184),
        ] {
            let network = Network::new(&ModelSpec::new(arch, Options::default()).unwrap());
            let params = initialize(&network, 1, InitOptions::default());
            let mean = PixelMean {
                height: 2,
                width: 1,
                values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0].into(),
            };
            for mean in [None, Some(&mean)] {
                let written = model(&network, &params, mean, &BTreeMap::new()).unwrap();
                let read = Model::decode(&written.encode_to_vec()[..]).unwrap();
                assert_eq!(read, written);
                let graph = read.graph.unwrap();
                let mut known: BTreeSet<&str> = BTreeSet::from([INPUT]);
                for tensor in &graph.initializer {
                    assert!(known.insert(&tensor.name), "{} twice", tensor.name);
                }
                for node in &graph.node {
                    let made = |input: &String| known.contains(input.as_str());
                    assert!(node.input.iter().all(made), "{}", node.name);
                    assert!(known.insert(&node.output[0]), "{} twice", node.name);
                }
                assert!(known.contains(LOGITS));
                assert_eq!(graph.node.len(), nodes + usize::from(mean.is_some()), "{arch}");
                for (id, info) in network.table().iter() {
                    let tensor = graph.initializer.iter().find(|t| t.name == info.name).unwrap();
                    let values: Vec<u8> =
                        params.get(id).iter().flat_map(|x| x.to_le_bytes()).collect();
                    assert!(tensor.raw_data == values, "{}", info.name);
                }
                let planes = graph.initializer.iter().find(|tensor| tensor.name == "pixel_mean");
                let planes = planes.map(|tensor| tensor.raw_data[4..8].to_vec());
                assert_eq!(planes, mean.map(|_| 4.0_f32.to_le_bytes().to_vec()));
            }
        }
    }
}
