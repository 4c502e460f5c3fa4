//! The steps of a run whose backbone is frozen: those of the classifier, on features that are computed before.

use super::super::data::TrainData;
use super::super::error::RunError;
use super::Backbone;
use crate::gemm::Backend;
use crate::learn::classifier_step;
use crate::model::{Network, Params, Role, TensorInfo};
use crate::ops::{Linear, Loss};
use crate::runtime::{Crew, Watch};

/// The features of a run's images.
pub(in crate::train) struct Frozen {
    train: Vec<f32>,
    val: Vec<f32>,
    /// Features of an image.
    width: usize,
    /// One over the mean square length of the training images' features.
    scale: f32,
    /// Those of a step's images.
    batch: Vec<f32>,
    crew: Crew,
}

impl Frozen {
    /// Computes the features of all images of `data`, or takes them from where they are kept.
    ///
    /// # Errors
    /// An image cannot be read, the features are not finite, or `watch` stopped it.
    pub(in crate::train) fn compute(
        backbone: &Backbone,
        data: &TrainData,
        notes: &mut Vec<String>,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        let train = "training images through the backbone";
        let train = backbone.features(&*data.train, train, notes, watch)?;
        let val = "validation images through the backbone";
        let val = data.val.as_deref().map(|data| backbone.features(data, val, notes, watch));
        let val = val.transpose()?.unwrap_or_default();
        Ok(Self::new(train, val, backbone.network.fc.in_features))
    }

    /// With the features `train` and `val`, `width` an image.
    pub(in crate::train) fn new(train: Vec<f32>, val: Vec<f32>, width: usize) -> Self {
        let images = (train.len() / width).max(1) as f64;
        let square = train.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / images;
        let scale = if square > 0.0 { (1.0 / square) as f32 } else { 1.0 };
        Self { train, val, width, scale, batch: Vec::new(), crew: Crew::default() }
    }

    /// What the learning rate of each tensor is multiplied by. The backbone's stands still. The weight's is
    /// divided by the mean square length of the features, so that the same rate serves features of any scale:
    /// the curvature of the loss grows with that.
    pub(in crate::train) fn rate(&self, info: &TensorInfo) -> f32 {
        match info.role {
            Role::LinearWeight => self.scale,
            Role::LinearBias => 1.0,
            _ => 0.0,
        }
    }

    /// Loss of the training images `indices`, of the classes `labels`, and the gradients of the classifier, in
    /// their places of `gradients`.
    pub(in crate::train) fn step(
        &mut self,
        backend: Backend,
        network: &Network,
        params: &Params,
        indices: &[usize],
        labels: &[usize],
        label_smoothing: f64,
        gradients: &mut [f32],
    ) -> Loss {
        let Self { train, width, batch, crew, .. } = self;
        batch.clear();
        for &index in indices {
            batch.extend_from_slice(&train[index * *width..][..*width]);
        }
        crew.run(|team| {
            classifier_step(
                team,
                backend,
                network,
                params,
                batch,
                labels,
                label_smoothing,
                gradients,
            )
        })
    }

    /// The logits of the validation images `indices`, which follow each other.
    pub(in crate::train) fn val_logits(
        &mut self,
        backend: Backend,
        network: &Network,
        params: &Params,
        indices: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let fc = &network.fc;
        let features = &self.val[indices.start * self.width..indices.end * self.width];
        let mut logits = vec![0.0; indices.len() * fc.out_features];
        let (weight, bias) = (params.get(fc.weight), params.get(fc.bias));
        self.crew.run(|team| {
            Linear::new(team, backend, weight, bias).forward(team, features, &mut logits);
        });
        logits
    }
}
