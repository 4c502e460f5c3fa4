//! The option that says where results are kept which another run may need again.

use resnet_cpu::runtime::Cache;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct CacheArgs {
    /// Folder for what can be computed again, such as the indexes of shards that cannot be written beside them
    /// [default: $XDG_CACHE_HOME/resnet-cpu, else ~/.cache/resnet-cpu]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl CacheArgs {
    pub(super) fn cache(&self) -> Cache {
        self.cache.as_ref().map_or_else(Cache::of_user, Cache::at)
    }
}
