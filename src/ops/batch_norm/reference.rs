//! Batch normalisation by its definition, in f64: what the kernels are held to.

/// A layer and its input.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) channels: usize,
    pub(super) x: Vec<f64>,
    pub(super) gamma: Vec<f64>,
    pub(super) beta: Vec<f64>,
    pub(super) residual: Option<Vec<f64>>,
    pub(super) relu: bool,
    pub(super) epsilon: f64,
}

/// The gradients by each input of the layer.
pub(super) struct Gradients {
    pub(super) x: Vec<f64>,
    pub(super) gamma: Vec<f64>,
    pub(super) beta: Vec<f64>,
    pub(super) residual: Vec<f64>,
}

impl Layer {
    pub(super) fn pixels(&self) -> f64 {
        (self.x.len() / self.channels) as f64
    }

    /// The mean of `value(i)` over the pixels, a channel.
    fn means(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut means = vec![0.0; self.channels];
        for i in 0..self.x.len() {
            means[i % self.channels] += value(i) / self.pixels();
        }
        means
    }

    /// Mean and biased variance.
    pub(super) fn statistics(&self) -> (Vec<f64>, Vec<f64>) {
        let mean = self.means(|i| self.x[i]);
        let var = self.means(|i| (self.x[i] - mean[i % self.channels]).powi(2));
        (mean, var)
    }

    /// x̂, and 1 / √(var + ε) of each channel.
    fn normalized(&self) -> (Vec<f64>, Vec<f64>) {
        let (mean, var) = self.statistics();
        let inverse: Vec<f64> = var.iter().map(|var| 1.0 / (var + self.epsilon).sqrt()).collect();
        let channel = |i| i % self.channels;
        let x = (0..self.x.len()).map(|i| (self.x[i] - mean[channel(i)]) * inverse[channel(i)]);
        (x.collect(), inverse)
    }

    pub(super) fn forward(&self) -> Vec<f64> {
        let (normalized, _) = self.normalized();
        let out = normalized.iter().enumerate().map(|(i, x)| {
            let c = i % self.channels;
            let y = self.gamma[c] * x + self.beta[c] + self.residual.as_ref().map_or(0.0, |r| r[i]);
            if self.relu && y < 0.0 { 0.0 } else { y }
        });
        out.collect()
    }

    /// The gradients of Σ forward · dout, where ReLU lets pass what is positive in `out`.
    pub(super) fn backward(&self, dout: &[f64], out: &[f64]) -> Gradients {
        let (normalized, inverse) = self.normalized();
        let passes = |i: usize| !self.relu || out[i] > 0.0;
        let dz: Vec<f64> = (0..dout.len()).map(|i| if passes(i) { dout[i] } else { 0.0 }).collect();
        let (beta, gamma) = (self.means(|i| dz[i]), self.means(|i| dz[i] * normalized[i]));
        let dx = (0..dz.len()).map(|i| {
            let c = i % self.channels;
            self.gamma[c] * inverse[c] * (dz[i] - beta[c] - normalized[i] * gamma[c])
        });
        let sums = |means: &[f64]| means.iter().map(|mean| mean * self.pixels()).collect();
        Gradients { x: dx.collect(), gamma: sums(&gamma), beta: sums(&beta), residual: dz.clone() }
    }
}
