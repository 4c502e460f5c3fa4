//! One caller's runs of a network: its activations, its scratch memory, its team.

use super::InferError;
use super::layer_time::LayerTime;
use super::model::{Model, Numbers};
use super::plan::Plan;
use super::quantized::{self, Values, ValuesMut};
use super::run::{Runner, WatchStep};
use super::seen::{Names, Seen, SeenValues};
use super::steps::{Means, Section, Source, Step};
use crate::conv::Convolutions;
use crate::gemm::Backend;
use crate::model::{Network, ParamSource};
use crate::runtime::{AlignedBuf, ChunksMut, Crew, Profile, Tasks, Team};
use std::sync::{Arc, Mutex, PoisonError};

/// One caller's runs of a [`Model`] on the threads of the current rayon pool.
///
/// A session is cheap to make, since it holds no weights. It keeps the activations of its largest run and its
/// threads' scratch memory.
pub struct Session<'w> {
    crew: Crew,
    state: State<'w>,
}

/// What nobody stops.
const NEVER: fn() -> bool = || false;

/// All but the team.
struct State<'w> {
    model: Arc<Model<'w>>,
    plan: Option<Plan>,
    /// What [`Session::run_each`] prepares.
    input: AlignedBuf,
    /// Whether the last run came to its end, and the plan is still its own: then there is something to read.
    ran: bool,
    /// Sets of buffers: as many as threads have been in a front at a time.
    fronts: Mutex<Vec<Vec<AlignedBuf>>>,
    /// The buffers of what the whole batch runs through.
    whole: Vec<AlignedBuf>,
    /// What the front of the network makes of the whole batch.
    between: AlignedBuf,
    logits: AlignedBuf,
    profile: Option<Profile>,
}

impl<'w> Session<'w> {
    /// A session with a model of its own: `network` with the weights of `params`.
    pub fn new(network: &Network, params: impl ParamSource + Send + 'w, backend: Backend) -> Self {
        Self::of(&Arc::new(Model::new(network, params, backend)))
    }

    /// A session of `model`.
    pub fn of(model: &Arc<Model<'w>>) -> Self {
        let state = State {
            model: Arc::clone(model),
            plan: None,
            input: AlignedBuf::default(),
            ran: false,
            fronts: Mutex::default(),
            whole: Vec::new(),
            between: AlignedBuf::default(),
            logits: AlignedBuf::default(),
            profile: None,
        };
        Self { crew: Crew::default(), state }
    }

    /// The model that it runs.
    pub fn model(&self) -> &Arc<Model<'w>> {
        &self.state.model
    }

    /// Prepares runs of this size, as the first one would: makes the plan, and packs the weights that have not
    /// been needed so far.
    ///
    /// # Errors
    /// If the images are too small for the network, or the weights cannot be read.
    pub fn prepare(&mut self, batch: usize, height: usize, width: usize) -> Result<(), InferError> {
        let Self { crew, state } = self;
        crew.run(|team| state.prepare(team, [batch, height, width], None))
    }

    /// The logits, `[batch, classes]`, of `input`, `[batch, height, width, channels]` (preprocessed; 3 channels for most networks).
    ///
    /// The first run of a size [prepares](Self::prepare) and allocates. Later runs reuse the memory.
    ///
    /// # Errors
    /// If the images are too small for the network, or the weights cannot be read.
    ///
    /// # Panics
    /// If the size of `input` is not that of `batch`, `height` and `width`, or `batch` is zero.
    pub fn run(
        &mut self,
        input: &[f32],
        batch: usize,
        height: usize,
        width: usize,
    ) -> Result<&[f32], InferError> {
        Ok(self.run_unless(input, batch, height, width, &NEVER)?.unwrap_or_default())
    }

    /// As [`run`](Self::run), but between any two layers it may be `stopped`: then there are no logits.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Panics
    /// As for [`run`](Self::run).
    pub fn run_unless(
        &mut self,
        input: &[f32],
        batch: usize,
        height: usize,
        width: usize,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<&[f32]>, InferError> {
        self.checked(input, [batch, height, width], stopped, None)
    }

    /// As [`run_unless`](Self::run_unless), and shows `see` what each convolution (after its batch norm, addition
    /// and ReLU) and the pool over all pixels make. It is called from several threads, in any order, each time with
    /// some of the images.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Panics
    /// As for [`run`](Self::run).
    pub fn run_watched(
        &mut self,
        input: &[f32],
        batch: usize,
        height: usize,
        width: usize,
        stopped: &(dyn Fn() -> bool + Sync),
        see: &(dyn Fn(Seen<'_>) + Sync),
    ) -> Result<Option<&[f32]>, InferError> {
        let model = Arc::clone(self.model());
        let names = Names::of(model.network());
        let watch = |step: &Step, values: SeenValues<'_>| {
            if let Some(name) = names.of_step(step) {
                see(Seen { name, values });
            }
        };
        self.checked(input, [batch, height, width], stopped, Some(&watch))
    }

    /// Runs `input`, which must be of the right size.
    fn checked(
        &mut self,
        input: &[f32],
        size: [usize; 3],
        stopped: &(dyn Fn() -> bool + Sync),
        watch: Option<&WatchStep<'_>>,
    ) -> Result<Option<&[f32]>, InferError> {
        let [batch, height, width] = size;
        assert!(batch > 0, "a batch has at least one image");
        let channels = self.model().network().in_channels();
        assert_eq!(
            input.len(),
            batch * height * width * channels,
            "{batch} images of {width} x {height}, {channels} channels"
        );
        let Self { crew, state } = self;
        crew.run(|team| state.run(team, input, size, stopped, watch))?;
        Ok(self.state.ran.then(|| self.logits()))
    }

    /// Runs inputs of `side` x `side` that `fill` writes, `rows` for each of `count` images, in parallel,
    /// while weights are packed. Images that it does not get are left out. Returns, for each image, its
    /// place among those that ran, or its error; and whether the run went well.
    pub(super) fn run_each<E: Send>(
        &mut self,
        count: usize,
        rows: usize,
        side: usize,
        fill: impl Fn(usize, &mut [f32]) -> Result<(), E> + Sync + Send,
    ) -> (Vec<Result<usize, E>>, Result<(), InferError>) {
        let Self { crew, state } = self;
        crew.run(|team| state.run_each(team, [count, rows, side], fill))
    }

    /// The logits of the last run, `[batch, classes]`; none before the first, after one that was stopped, and after
    /// another size was [prepared](Self::prepare).
    pub fn logits(&self) -> &[f32] {
        let plan = self.state.plan.as_ref().filter(|_| self.state.ran);
        &self.state.logits[..plan.map_or(0, |plan| plan.rest.output_len())]
    }

    /// The features of the last run, `[batch, features]`: the input of the last layer, a mean over all pixels. There are
    /// none where there are no [`logits`](Self::logits).
    pub fn features(&self) -> Vec<f32> {
        self.read_by(0, |features, _| features.to_vec()).unwrap_or_default()
    }

    /// Shows `see` what the last step but `back` of the last run read, of all images, and its height, width and
    /// channels. The last step is the classifier, the one before it the pool.
    pub(super) fn read_by<T>(
        &self,
        back: usize,
        see: impl FnOnce(&[f32], [usize; 3]) -> T,
    ) -> Option<T> {
        let steps = &self.state.plan.as_ref().filter(|_| self.state.ran)?.rest.steps;
        let step = steps.iter().rev().nth(back)?;
        let len = step.from_len;
        let quantized = match self.model().numbers() {
            Numbers::F32 { .. } => None,
            Numbers::Quantized(layers) => Some(layers.scale_read_by(back)),
        };
        let shown = |buffer: &[f32]| {
            let Some(scale) = quantized else { return Some(see(buffer.get(..len)?, step.input)) };
            let mut values = vec![0.0; len];
            quantized::real(scale, quantized::bytes(buffer, len), &mut values);
            Some(see(&values, step.input))
        };
        match step.from {
            // Nobody writes there after the pool has read it: what the pool makes has another place, and the
            // classifier's is the output.
            Source::Slot(slot) => shown(self.state.whole.get(slot)?),
            // All blocks are in the front.
            Source::Input => shown(&self.state.between),
        }
    }

    /// Whether runs measure the time of each layer, for [`layer_times`](Self::layer_times).
    pub fn set_profiling(&mut self, on: bool) {
        self.state.profile = on.then(Profile::default);
    }

    /// The time of each layer in the last run, in the order of execution; empty unless
    /// [profiling](Self::set_profiling) was on.
    pub fn layer_times(&self) -> Vec<LayerTime<'_>> {
        let State { plan, profile, .. } = &self.state;
        let (Some(plan), Some(profile)) = (plan, profile) else { return Vec::new() };
        let front = plan.front.as_ref().map_or(0, |front| front.steps.len());
        let steps = plan.sections().flat_map(|section| &section.steps);
        let timed = steps.zip(profile.times()).enumerate();
        let threads = plan.threads as u32;
        timed
            .map(|(i, (step, time))| {
                let time = if i < front { time / threads } else { time };
                step.layer_time(plan.batch, time, self.model().is_quantized())
            })
            .collect()
    }
}

impl State<'_> {
    /// The plan for inputs of `size` and the weights it needs; `meanwhile` runs beside the packing.
    fn prepare(
        &mut self,
        team: &mut Team,
        size: [usize; 3],
        meanwhile: Option<Tasks>,
    ) -> Result<(), InferError> {
        let planned = self.plan.as_ref();
        if planned.is_some_and(|plan| plan.size() == size && plan.threads == team.threads()) {
            if let Some(tasks) = meanwhile {
                tasks.run(team);
            }
            return Ok(());
        }
        (self.plan, self.ran) = (None, false);
        let plan = match self.model.plan(size, team.threads()) {
            Ok(plan) => plan,
            Err(error) => {
                if let Some(tasks) = meanwhile {
                    tasks.run(team);
                }
                return Err(error);
            }
        };
        self.model.pack(team, &plan, meanwhile)?;
        self.plan = Some(plan);
        Ok(())
    }

    fn run(
        &mut self,
        team: &mut Team,
        input: &[f32],
        size: [usize; 3],
        stopped: &(dyn Fn() -> bool + Sync),
        watch: Option<&WatchStep<'_>>,
    ) -> Result<(), InferError> {
        self.ran = false;
        self.prepare(team, size, None)?;
        let plan = self.plan.as_ref().expect("just prepared");
        let steps = plan.sections().map(|section| section.steps.len()).sum();
        self.profile = self.profile.take().map(|_| Profile::new(steps));
        let Self { model, fronts, whole, between, logits, profile, .. } = self;
        let profile = profile.as_ref();
        let run = |team: &mut Team,
                   section: &Section,
                   first,
                   own: &mut Vec<AlignedBuf>,
                   from: Values,
                   to: ValuesMut| match (model.numbers(), from, to) {
            (Numbers::F32 { layers, .. }, Values::F32(from), ValuesMut::F32(to)) => {
                let isa = model.backend().isa();
                let runner = Runner { layers, isa, profile, stopped, watch };
                runner.run(team, section, first, own, from, to);
            }
            (Numbers::F32 { .. }, ..) => unreachable!("a network in f32 has no integers"),
            (Numbers::Quantized(layers), from, to) => {
                let runner = quantized::Runner { layers, profile, stopped, watch };
                runner.run(team, section, first, own, from, to);
            }
        };
        let logits = ValuesMut::F32(logits.first_mut(plan.rest.output_len()));
        let Some(front) = &plan.front else {
            run(team, &plan.rest, 0, whole, Values::F32(input), logits);
            self.ran = !stopped();
            return Ok(());
        };
        let fronts = &*fronts;
        // Of either kind, as bytes.
        let bytes = if model.is_quantized() { 1 } else { size_of::<f32>() };
        let len = plan.rest.input_len() * bytes;
        let between = quantized::bytes_mut(between.first_mut(quantized::floats(len)), len);
        let input_len = front.input_len();
        team.for_each_chunk(between, front.output_len() * bytes, |images, made, scratch| {
            let input = Values::F32(&input[images * input_len..][..input_len]);
            let made = if bytes == 1 {
                ValuesMut::U8(made)
            } else {
                ValuesMut::F32(bytemuck::cast_slice_mut(made))
            };
            // On a set of buffers of its own for as long as it takes.
            let lock = || fronts.lock().unwrap_or_else(PoisonError::into_inner);
            let spare = lock().pop();
            let mut own = spare.unwrap_or_default();
            run(&mut Team::alone(scratch), front, 0, &mut own, input, made);
            lock().push(own);
        });
        let between = if bytes == 1 {
            Values::U8(between)
        } else {
            Values::F32(bytemuck::cast_slice(between))
        };
        run(team, &plan.rest, front.steps.len(), whole, between, logits);
        self.ran = !stopped();
        Ok(())
    }

    /// As [`Session::run_each`].
    fn run_each<E: Send>(
        &mut self,
        team: &mut Team,
        [count, rows, side]: [usize; 3],
        fill: impl Fn(usize, &mut [f32]) -> Result<(), E> + Sync + Send,
    ) -> (Vec<Result<usize, E>>, Result<(), InferError>) {
        let len = rows * side * side * self.model.network().in_channels();
        // Taken out, so that a run can borrow it beside the rest.
        let mut input = std::mem::take(&mut self.input);
        input.grow_to(count * len);
        // Without a plan nothing may be filled; the error is the run's then.
        let mut filled: Vec<Result<(), E>> = (0..count).map(|_| Ok(())).collect();
        let inputs = ChunksMut::new(&mut input[..count * len], len);
        let parts = (inputs, ChunksMut::new(&mut filled, 1));
        let tasks = Tasks::of_parts(parts, |i, (input, filled), _| filled[0] = fill(i, input));
        let mut result = self.prepare(team, [count * rows, side, side], Some(tasks));
        let mut placed = Vec::with_capacity(count);
        let mut batch = 0;
        for (i, filled) in filled.into_iter().enumerate() {
            placed.push(filled.map(|()| {
                input.copy_within(i * len..(i + 1) * len, batch * len);
                batch += 1;
                batch - 1
            }));
        }
        if result.is_ok() && batch > 0 {
            result =
                self.run(team, &input[..batch * len], [batch * rows, side, side], &NEVER, None);
        }
        self.input = input;
        (placed, result)
    }
}

/// Bytes of activations that a [`Session`] on `backend` holds for batches of `batch` images of
/// `height` x `width`.
///
/// # Errors
/// If the images are too small for the network.
pub fn activation_bytes(
    network: &Network,
    backend: Backend,
    batch: usize,
    height: usize,
    width: usize,
) -> Result<usize, InferError> {
    let threads = rayon::current_num_threads();
    let means = Means { backend, convolutions: Convolutions::default(), bytes: size_of::<f32>() };
    let plan = Plan::new(network, means, [batch, height, width], threads)?;
    let slots = |section: &Section| section.slots.iter().sum::<usize>();
    let front =
        plan.front.as_ref().map_or(0, |front| threads * slots(front) + plan.rest.input_len());
    Ok((front + slots(&plan.rest) + plan.rest.output_len()) * size_of::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Options, initialize};
    use crate::runtime::Rng;
    use crate::simd::Isa;
    use rayon::ThreadPoolBuilder;

    /// With few threads each takes images of its own through the front, with many it does not.
    #[test]
    fn the_bits_do_not_depend_on_who_runs_the_front() {
        for (name, side, batch) in [
            ("resnet18", 129, 6),
            ("resnet50", 97, 4),
            ("resnet20", 32, 32),
            ("resnet18d", 97, 6),
            ("resnext50_32x4d", 65, 4),
        ] {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let params = initialize(&network, 3, InitOptions::default());
            let mut rng = Rng::named(3, "input");
            let input: Vec<f32> = (0..batch * side * side * 3).map(|_| rng.normal()).collect();
            let mut first: Option<Vec<f32>> = None;
            let mut fronts = 0;
            for threads in [1, 2, 3, 5, 33] {
                let mut session = Session::new(&network, &params, Backend::Native(Isa::best()));
                let mut run = || session.run(&input, batch, side, side).unwrap().to_vec();
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let logits = pool.install(&mut run);
                assert!(
                    *first.get_or_insert(logits.clone()) == logits,
                    "{name}, {threads} threads"
                );
                fronts += usize::from(session.state.plan.is_some_and(|plan| plan.front.is_some()));
            }
            assert!((1..5).contains(&fronts), "{name}: {fronts} of 5 runs had a front");
        }
    }

    /// At each of its layers a run can end; the next run is whole.
    #[test]
    fn a_run_is_stopped_between_layers() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let params = initialize(&network, 3, InitOptions::default());
        let input = vec![0.5; 4 * 32 * 32 * 3];
        let mut session = Session::new(&network, &params, Backend::Native(Isa::best()));
        let whole = session.run(&input, 4, 32, 32).unwrap().to_vec();
        for layers in [0, 1, 7, 20] {
            let looked = AtomicUsize::new(0);
            let stopped = || looked.fetch_add(1, Ordering::Relaxed) >= layers;
            assert_eq!(session.run_unless(&input, 4, 32, 32, &stopped), Ok(None), "{layers}");
            assert!(session.logits().is_empty() && session.features().is_empty());
        }
        assert_eq!(session.run(&input, 4, 32, 32).unwrap(), whole);
        assert_eq!((session.logits(), session.features().len()), (&whole[..], 4 * 64));
        // There is nothing to read of a size that has not run.
        session.prepare(1, 32, 32).unwrap();
        assert!(session.logits().is_empty() && session.features().is_empty());
    }

    /// However often it runs, and whichever thread was the last in a front.
    #[test]
    fn a_session_takes_the_memory_that_is_announced() {
        let network = Network::new(&ModelSpec::new("resnet18", Options::default()).unwrap());
        let params = initialize(&network, 3, InitOptions::default());
        let (batch, side, backend) = (6, 129, Backend::Native(Isa::best()));
        let input = vec![0.5; batch * side * side * 3];
        ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| {
            let mut session = Session::new(&network, &params, backend);
            for _ in 0..5 {
                session.run(&input, batch, side, side).unwrap();
            }
            let State { plan, fronts, whole, between, logits, .. } = &session.state;
            assert!(plan.as_ref().is_some_and(|plan| plan.front.is_some()));
            let fronts = fronts.lock().unwrap();
            let sets = fronts.iter().flatten().chain(whole).chain([between, logits]);
            let held = sets.map(|buffer| buffer.len() * size_of::<f32>()).sum::<usize>();
            let announced = activation_bytes(&network, backend, batch, side, side).unwrap();
            assert!(held <= announced, "{held} of {announced}");
        });
    }

    #[test]
    fn a_session_serves_batches_of_all_sizes() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let params = initialize(&network, 3, InitOptions::default());
        let mut rng = Rng::named(4, "input");
        let input: Vec<f32> = (0..17 * 32 * 32 * 3).map(|_| rng.normal()).collect();
        let backend = Backend::Native(Isa::best());
        let mut kept = Session::new(&network, &params, backend);
        for batch in [16, 1, 17, 2, 16] {
            let input = &input[..batch * 32 * 32 * 3];
            let mut fresh = Session::new(&network, &params, backend);
            assert_eq!(kept.run(input, batch, 32, 32), fresh.run(input, batch, 32, 32), "{batch}");
        }
    }
}
