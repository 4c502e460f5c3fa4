//! Where weights come from and where they are kept: what Python's packages are told by the environment.

use std::env::var_os;
use std::path::{Path, PathBuf};

/// Where the hub is.
const ENDPOINT: &str = "https://huggingface.co";
/// Where torchvision's weights are.
const TORCHVISION: &str = "https://download.pytorch.org/models";

/// Where weights come from and where they are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address of the hub.
    pub endpoint: String,
    /// The folder of the hub's cache.
    pub cache: PathBuf,
    /// What shows the hub who asks.
    pub token: Option<String>,
    /// The address of torchvision's weights.
    pub torchvision: String,
    /// The folder of torch's checkpoints.
    pub checkpoints: PathBuf,
    /// Whether nothing may be asked of a network.
    pub offline: bool,
}

// By hand: nobody's secret is printed.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, cache, torchvision, checkpoints, offline, .. } = self;
        let all = (endpoint, cache, torchvision, checkpoints, offline);
        write!(f, "Settings {all:?}")
    }
}

impl Settings {
    /// As the environment says: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`,
    /// `HF_HUB_OFFLINE`, `TORCH_HOME`, `XDG_CACHE_HOME`, as for Python's packages, and
    /// `RESNET_CPU_TORCHVISION` for a mirror of torchvision's weights.
    pub fn from_env() -> Self {
        let text = |name: &str| value(name).and_then(|value| value.into_string().ok());
        let address = |name: &str, standard: &str| {
            text(name).unwrap_or(standard.to_owned()).trim_end_matches('/').to_owned()
        };
        let home = std::env::home_dir().unwrap_or_default();
        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        let hf = path("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let torch = path("TORCH_HOME").unwrap_or_else(|| caches.join("torch"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf.join("token"));
        let offline = text("HF_HUB_OFFLINE").map(|value| value.to_ascii_uppercase());
        Self {
            endpoint: address("HF_ENDPOINT", ENDPOINT),
            cache: cache.unwrap_or_else(|| hf.join("hub")),
            token: text("HF_TOKEN").or_else(|| stored(&token_file)).and_then(one_word),
            torchvision: address("RESNET_CPU_TORCHVISION", TORCHVISION),
            checkpoints: torch.join("hub").join("checkpoints"),
            offline: offline
                .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.as_str())),
        }
    }
}

/// A variable that is set to something.
fn value(name: &str) -> Option<std::ffi::OsString> {
    var_os(name).filter(|value| !value.is_empty())
}

/// A folder, from a variable; `~` at its beginning is the user's.
fn path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(value(name)?);
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(path),
    }
}

/// The token that Python's `hf auth login` has stored.
fn stored(path: &Path) -> Option<String> {
    std::fs::metadata(path).ok().filter(|file| file.is_file() && file.len() < 4096)?;
    std::fs::read_to_string(path).ok()
}

/// A token fit for a header.
fn one_word(token: String) -> Option<String> {
    let token = token.trim();
    let fits = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    fits.then(|| token.to_owned())
}
