//! Published weights by name, from a server of this test: each answer gives the file or one clear line, nothing
//! half, and what was begun is gone on with. Nothing is asked of any other machine.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod python;
mod server;
#[cfg(target_os = "linux")]
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use resnet_cpu::hub::{Hub, HubError, Name, Settings};
use resnet_cpu::runtime::Unwatched;
use serde_json::json;
use tempfile::TempDir;

use common::fixture::Fixture;
use common::program::{Run, finish, program};
use server::{COMMIT, Server, TOKEN, sha256};

/// A server, and the folders of somebody who fetches from it.
struct Setup {
    server: Server,
    home: TempDir,
}

impl Setup {
    /// The server has weights of `size` bytes, `hf:timm/some`, with a configuration beside them.
    fn new(size: usize) -> Self {
        let server = Server::start();
        let noise = (0..size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        let files = [
            ("timm/some/model.safetensors", noise.collect()),
            ("timm/some/config.json", b"{\"hello\": 1}".to_vec()),
        ];
        server.state().files.extend(files.map(|(name, content)| (name.to_owned(), content)));
        Self { server, home: TempDir::new().unwrap() }
    }

    fn content(&self) -> Vec<u8> {
        self.server.state().files["timm/some/model.safetensors"].clone()
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("hub/models--timm--some")
    }

    fn snapshot(&self, file: &str) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT).join(file)
    }

    fn blob(&self) -> PathBuf {
        self.repository().join("blobs").join(sha256(&self.content()))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.home.path(), args);
        for variable in
            ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"]
        {
            command.env_remove(variable);
        }
        for proxy in [
            "http_proxy",
            "HTTP_PROXY",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ] {
            command.env_remove(proxy);
        }
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", self.server.url());
        command.env("TORCH_HOME", self.home.path().join("torch"));
        command.env("RESNET_CPU_TORCHVISION", format!("{}/models", self.server.url()));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        finish(&mut self.command(args))
    }

    fn get(&self) -> Run {
        self.run(&["weights", "get", "hf:timm/some"])
    }

    /// That the weights are in the cache, whole, and nothing of the way there is left.
    #[track_caller]
    fn is_there(&self, run: &Run) {
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(Path::new(run.out.trim_end()), self.snapshot("model.safetensors"));
        assert_eq!(std::fs::read(self.snapshot("model.safetensors")).unwrap(), self.content());
        self.is_clean();
    }

    #[track_caller]
    fn is_clean(&self) {
        let names = std::fs::read_dir(self.repository().join("blobs")).into_iter().flatten();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        let partial = |name: &&std::ffi::OsString| name.to_string_lossy().contains('.');
        assert_eq!(names.iter().find(partial), None, "{names:?}");
    }

    fn settings(&self) -> Settings {
        Settings {
            endpoint: self.server.url(),
            cache: self.home.path().join("hub"),
            token: None,
            torchvision: format!("{}/models", self.server.url()),
            checkpoints: self.home.path().join("torch/hub/checkpoints"),
            offline: false,
        }
    }
}

#[test]
fn a_repository_is_fetched_once_into_pythons_layout() {
    let setup = Setup::new(300_000);
    setup.run(&["weights", "where", "hf:timm/some"]).fails(1, &["not in the cache", "weights get"]);
    setup.is_there(&setup.get());
    let repository = setup.repository();
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(std::fs::read(setup.snapshot("config.json")).unwrap(), b"{\"hello\": 1}");
    // The repository has none, which is remembered as Python does it.
    let absent = repository.join(".no_exist").join(COMMIT).join("preprocessor_config.json");
    assert!(absent.is_file());
    #[cfg(unix)]
    {
        let link = std::fs::read_link(setup.snapshot("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(sha256(&setup.content())));
    }
    // What is there is used without a question, by any of its names and without a network.
    let asked = setup.server.requests("");
    let commit = format!("hf:timm/some@{COMMIT}:model.safetensors");
    for name in ["hf:timm/some", commit.as_str(), "hf:timm/some:model.safetensors"] {
        let run = setup.run(&["weights", "where", name]);
        assert_eq!(
            (run.code, Path::new(run.out.trim_end())),
            (0, &*setup.snapshot("model.safetensors"))
        );
    }
    let run = setup.run(&["inspect", "hf:timm/some"]);
    run.fails(1, &["model.safetensors"]);
    assert_eq!(setup.server.requests(""), asked);
    // The content was asked for once, of the other host, without the token.
    assert_eq!(setup.server.requests("GET localhost/cdn/timm/some/model.safetensors"), 1);
}

#[test]
fn answers_that_break_off_are_gone_on_with() {
    let setup = Setup::new(400_000);
    setup.server.state().cut.extend([100_000, 0, 150_000, 1]);
    setup.is_there(&setup.get());
    let log = setup.server.state().log.join("\n");
    for range in ["range=None", "bytes=100000-", "bytes=250000-", "bytes=250001-"] {
        assert!(log.contains(range), "{range}: {log}");
    }
    // A server that gives nothing, again and again.
    let setup = Setup::new(400_000);
    setup.server.state().cut.extend([70_000, 0, 0, 0, 0, 0, 0]);
    setup
        .get()
        .fails(1, &["/timm/some/resolve/main/model.safetensors: cannot be reached", "70000 bytes"]);
    // What there is of it is not lost.
    setup.server.state().cut.clear();
    setup.is_there(&setup.get());
    // Three times in vain, then once more; each time the hub is asked first, then the other host.
    assert_eq!(setup.server.requests("bytes=70000-"), 2 * 4);
}

#[test]
fn servers_without_parts_begin_anew() {
    let setup = Setup::new(200_000);
    setup.server.state().no_parts = true;
    setup.server.state().cut.push_back(50_000);
    setup.is_there(&setup.get());
}

#[test]
fn what_is_not_what_it_should_be_is_not_kept() {
    let setup = Setup::new(200_000);
    setup.server.state().damage = true;
    let stated = sha256(&setup.content());
    setup.get().fails(1, &["damaged on its way", &stated, "nothing was kept"]);
    setup.is_clean();
    assert!(!setup.blob().exists() && !setup.snapshot("model.safetensors").exists());
    // Nor what lay there before, of something else: it is fetched again.
    setup.server.state().damage = false;
    for (i, left) in [vec![7; 100], vec![7; 200_000], vec![7; 300_000]].into_iter().enumerate() {
        let partial = setup.repository().join("blobs").join(format!("{stated}.incomplete"));
        std::fs::write(partial, left).unwrap();
        setup.is_there(&setup.get());
        std::fs::remove_dir_all(setup.repository().join("snapshots")).unwrap();
        std::fs::remove_file(setup.blob()).unwrap();
        assert!(i < 3);
    }
}

#[test]
fn refusals_are_one_clear_line() {
    let setup = Setup::new(5_000);
    for (name, parts) in [
        ("hf:timm/none", ["/timm/none/resolve/main/model.safetensors: not found", "no such file"]),
        ("hf:timm/some@v2", ["/timm/some/resolve/v2/", "the repository has no such revision"]),
        ("hf:timm/some:other.bin", ["/timm/some/resolve/main/other.bin", "no such file"]),
        ("hf:private/some", ["asks for permission (status 401)", "HF_TOKEN"]),
    ] {
        setup.run(&["weights", "get", name]).fails(1, &parts);
        setup.run(&["infer", "-w", name, "x.png"]).fails(1, &parts);
    }
    for name in ["hf:timm", "torchvision:resnet19", "resnet19", "model.pth"] {
        setup.run(&["weights", "get", name]).fails(2, &[name, "weights list"]);
    }
    let busy = |count: usize| setup.server.state().refuse.extend(std::iter::repeat_n(429, count));
    busy(1);
    setup.get().fails(1, &["busy (status 429)", "later"]);
    setup.server.state().refuse.push_back(503);
    setup.get().fails(1, &["busy (status 503)"]);
    setup.is_there(&setup.get());
    // No server at all; what is in the cache is used all the same.
    let nobody =
        |args: &[&str]| finish(setup.command(args).env("HF_ENDPOINT", "http://127.0.0.1:9"));
    nobody(&["weights", "get", "hf:timm/else"])
        .fails(1, &["http://127.0.0.1:9/timm/else", "cannot be reached"]);
    std::fs::remove_dir_all(setup.repository().join(".no_exist")).unwrap();
    nobody(&["inspect", "hf:timm/some"])
        .fails(1, &["model.safetensors: not a readable file of weights"]);
    let offline = |args: &[&str]| finish(setup.command(args).env("HF_HUB_OFFLINE", "1"));
    offline(&["weights", "get", "hf:timm/else"])
        .fails(1, &["not in the cache", "HF_HUB_OFFLINE is set"]);
    offline(&["inspect", "hf:timm/some"]).fails(1, &["model.safetensors: not a readable file"]);
    // Also for those who ask for the newest.
    setup.is_there(&offline(&["weights", "get", "hf:timm/some"]));
    let run = nobody(&["weights", "get", "hf:timm/some"]);
    assert!(
        run.err.contains("cannot be reached") && run.err.contains("what is in the cache is used"),
        "{}",
        run.err
    );
    setup.is_there(&run);
}

#[test]
fn the_token_is_for_the_hub_alone() {
    let setup = Setup::new(5_000);
    let content = setup.content();
    setup.server.state().files.insert("private/some/model.safetensors".to_owned(), content);
    let get = |how: &mut dyn FnMut(&mut Command)| {
        let mut command = setup.command(&["weights", "get", "hf:private/some"]);
        how(&mut command);
        let run = finish(&mut command);
        assert_eq!(run.code, 0, "{}", run.err);
        std::fs::remove_dir_all(setup.home.path().join("hub")).unwrap();
    };
    get(&mut |command| {
        command.env("HF_TOKEN", TOKEN);
    });
    std::fs::write(setup.home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    get(&mut |_| ());
    let log = setup.server.state().log.clone();
    for line in log.iter().filter(|line| line.contains("localhost")) {
        assert!(line.ends_with("token="), "{line}");
    }
    assert_eq!(log.iter().filter(|line| line.contains("GET localhost")).count(), 2);
}

#[test]
fn renamed_repositories_are_found() {
    let setup = Setup::new(5_000);
    let content = setup.content();
    setup.server.state().files.insert("new/some/model.safetensors".to_owned(), content.clone());
    let run = setup.run(&["weights", "get", "hf:old/some"]);
    assert_eq!(std::fs::read(run.out.trim_end()).unwrap(), content, "{}", run.err);
}

#[test]
fn a_killed_program_is_gone_on_with() {
    let setup = Setup::new(400_000);
    setup.server.state().slow = Some(4_000);
    let start = || -> Child {
        let mut command = setup.command(&["weights", "get", "hf:timm/some"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let partial =
        setup.repository().join("blobs").join(format!("{}.incomplete", sha256(&setup.content())));
    let length = || partial.metadata().map_or(0, |file| file.len());
    let mut least = 0;
    for _ in 0..3 {
        let mut child = start();
        let begun = std::time::Instant::now();
        while length() < least + 70_000 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(length() >= least + 70_000, "it goes on: {} after {least}", length());
        least = length();
    }
    setup.server.state().slow = None;
    setup.is_there(&setup.get());
    assert_eq!(
        setup.server.requests(&format!("bytes={least}-")),
        2,
        "of the hub and of the other host"
    );
}

#[test]
fn several_at_once_fetch_it_once() {
    let setup = Setup::new(200_000);
    setup.server.state().slow = Some(8_000);
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| setup.get());
        let threads: Vec<_> = (0..3).map(|_| start()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    runs.iter().for_each(|run| setup.is_there(run));
    assert_eq!(setup.server.requests("GET localhost/cdn/timm/some/model.safetensors"), 1);
}

#[test]
fn torchvisions_files_are_known_by_their_digits() {
    let setup = Setup::new(5_000);
    let content = setup.content();
    let digits = sha256(&content)[..8].to_owned();
    let file = format!("resnet18-{digits}.pth");
    setup.server.state().files.insert(format!("models/{file}"), content.clone());
    let hub = Hub::new(setup.settings());
    let name = Name::Torchvision { file: file.clone(), digits };
    assert_eq!(hub.cached(&name), None);
    setup.server.state().cut.push_back(2_000);
    let path = hub.get(&name, &Unwatched).unwrap();
    assert_eq!(path, setup.home.path().join("torch/hub/checkpoints").join(&file));
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(hub.cached(&name), Some(path));

    // The published names, of what is not theirs.
    setup.server.state().files.insert("models/resnet18-f37072fd.pth".to_owned(), content);
    for name in ["resnet18", "torchvision:resnet18.V1"] {
        setup
            .run(&["weights", "get", name])
            .fails(1, &["resnet18-f37072fd.pth", "expected the checksum f37072fd"]);
    }
    setup.run(&["weights", "get", "resnet34"]).fails(1, &["resnet34-b627a593.pth: not found"]);
    let run = setup.run(&["weights", "list"]);
    assert_eq!((run.code, run.out.lines().count()), (0, 6), "{}", run.out);
    assert!(
        run.out.contains("torchvision:resnet50.V2  BSD-3-Clause 80.86    232, 224      97.8   no"),
        "{}",
        run.out
    );
}

#[test]
fn work_that_is_stopped_says_so() {
    struct Stopped;
    impl resnet_cpu::runtime::Watch for Stopped {
        fn progress(&self, _: &'static str, _: u64, _: Option<u64>) {}
        fn stopped(&self) -> bool {
            true
        }
    }
    let setup = Setup::new(5_000);
    let name = Name::parse("hf:timm/some:model.safetensors").unwrap().unwrap();
    let stopped = Hub::new(setup.settings()).get(&name, &Stopped);
    assert!(matches!(stopped, Err(HubError::Stopped)), "{stopped:?}");
}

/// From a name to classes: what lies beside the weights in the repository prepares the image.
#[test]
fn weights_by_name_are_used_as_published() {
    let fixture = Fixture::new();
    let weights = std::fs::read(fixture.path("weights.safetensors")).unwrap();
    let setup = Setup::new(5_000);
    let config = json!({ "architecture": "resnet20", "pretrained_cfg": {
        "input_size": [3, 40, 40], "crop_pct": 0.9, "interpolation": "bicubic" },
        "label_names": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] });
    let config = config.to_string().into_bytes();
    let files = [("me/mine/model.safetensors", weights), ("me/mine/config.json", config)];
    setup.server.state().files.extend(files.map(|(name, content)| (name.to_owned(), content)));
    std::fs::copy(fixture.path("images/a.png"), setup.home.path().join("a.png")).unwrap();
    let run = setup.run(&["infer", "-w", "hf:me/mine", "a.png"]);
    assert_eq!((run.code, run.out.lines().count()), (0, 5), "{}", run.err);
    assert!(run.err.contains("prepared as timm says in "), "{}", run.err);
    assert!(run.err.contains("preprocessing: resize 44 bicubic, crop 40"), "{}", run.err);
    // A variable may have a name, too, and other commands take it.
    let mut command = setup.command(&["infer", "--json", "a.png"]);
    let run = finish(command.env("RESNET_CPU_WEIGHTS", "hf:me/mine"));
    let label = run.json()[0]["predictions"][0]["label"].as_str().map(str::len);
    assert_eq!(label, Some(1), "{}", run.out);
    let run = setup.run(&["convert", "hf:me/mine", "copy.safetensors"]);
    assert!(run.code == 0 && run.err.contains("crop 40"), "{}", run.err);
    let run = setup.run(&["bench", "-w", "hf:me/mine", "--seconds", "0", "--json"]);
    assert_eq!((run.code, &run.json()[0]["arch"]), (0, &json!("resnet20")), "{}", run.err);
    // A file of that name is meant before the weights.
    std::fs::create_dir(setup.home.path().join("hf:me")).unwrap();
    std::fs::write(setup.home.path().join("hf:me/mine"), "no weights").unwrap();
    setup.run(&["infer", "-w", "hf:me/mine", "a.png"]).fails(1, &["hf:me/mine: not a readable"]);
}

/// Without weights the default network is offered; without a yes nothing is asked of anybody.
#[test]
fn nothing_is_fetched_unasked() {
    let setup = Setup::new(5_000);
    let image = Fixture::new().path("images/a.png");
    std::fs::write(setup.home.path().join("a.png"), std::fs::read(&image).unwrap_or_default())
        .unwrap();
    let mut command = setup.command(&["infer", "a.png"]);
    let run = finish(command.stdin(Stdio::null()));
    run.fails(2, &["no weights", "--weights resnet50 fetches torchvision's, 97.8 MiB", "-y"]);
    setup.run(&["eval", "."]).fails(2, &["no weights"]);
    assert_eq!(setup.server.requests(""), 0);
    // With a yes it is asked for: this server has none.
    let run = setup.run(&["infer", "-y", "a.png"]);
    run.fails(1, &["/models/resnet50-11ad3fa6.pth: not found"]);
    assert_eq!(setup.server.requests("GET 127.0.0.1/models/resnet50-11ad3fa6.pth"), 1);
    // The newest run comes first, as ever.
    let fixture = Fixture::new();
    std::fs::create_dir_all(setup.home.path().join("runs/a")).unwrap();
    let best = setup.home.path().join("runs/a/best.safetensors");
    std::fs::copy(fixture.path("weights.safetensors"), best).unwrap();
    std::fs::copy(fixture.path("images/a.png"), setup.home.path().join("a.png")).unwrap();
    let run = setup.run(&["infer", "-y", "a.png"]);
    assert!(run.code == 0 && run.err.contains("runs/a/best.safetensors"), "{}", run.err);
    assert_eq!(setup.server.requests(""), 1);
}

/// What speaks to a network is in the program, and not in programs that embed the library without `hub`.
#[test]
fn embedders_have_no_http_and_no_tls() {
    let tree = |package: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--offline", "--locked", "-e", "normal", "--prefix", "none"]);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(package);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let speaks = |tree: &str| {
        ["ureq", "rustls", "ring", "http"].map(|name| tree.contains(&format!("\n{name} v")))
    };
    assert_eq!(speaks(&tree(&["-p", "resnet-cpu"])), [true; 4]);
    assert_eq!(speaks(&tree(&["-p", "resnet-cpu", "--no-default-features"])), [false; 4]);
    assert_eq!(speaks(&tree(&["-p", "resnet-data"])), [false; 4]);
}
