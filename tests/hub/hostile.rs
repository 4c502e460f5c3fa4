//! Servers that lie, caches that somebody has been at, disks that are full, proxies.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use resnet_cpu::hub::{Hub, Name};
use resnet_cpu::runtime::Unwatched;

use crate::Setup;
use crate::common::program::finish;
use crate::server::{COMMIT, TOKEN, sha256};

#[test]
fn servers_that_lie_about_a_file_are_found_out() {
    for (header, lie, parts) in [
        ("X-Repo-Commit", "../../../outside", ["hexadecimal hashes", "../../../outside"]),
        ("X-Repo-Commit", "", ["hexadecimal hashes", "found"]),
        ("X-Linked-Etag", "\"../../../../outside\"", ["hexadecimal hashes", "outside"]),
        ("X-Linked-Etag", "\"0123\"", ["hexadecimal hashes", "0123"]),
        // Each answer is whole, and the next is asked to begin behind its end.
        ("X-Linked-Size", "6000", ["the answer ends after", "bytes"]),
        ("X-Linked-Size", "4000", ["expected 4000 bytes", "found more"]),
    ] {
        let setup = Setup::new(5_000);
        setup.server.state().lie = Some((header, lie.to_owned()));
        setup.get().fails(1, &parts);
        assert!(!setup.snapshot("model.safetensors").exists(), "{header}: {lie}");
        assert!(!setup.home.path().join("outside").exists());
        assert!(setup.server.requests("") < 30, "{header}: {lie}: asks without end");
        // What it left does no harm.
        setup.server.state().lie = None;
        setup.is_there(&setup.get());
    }
    // A checksum of something else.
    let setup = Setup::new(5_000);
    setup.server.state().lie = Some(("X-Linked-Etag", format!("\"{}\"", sha256(b"else"))));
    setup.get().fails(1, &["damaged on its way"]);
    setup.is_clean();
}

/// A server of torchvision's weights is not the hub, whatever its address looks like.
#[test]
fn mirrors_of_torchvisions_weights_are_not_told_the_token() {
    let setup = Setup::new(5_000);
    let content = setup.content();
    let digits = sha256(&content)[..8].to_owned();
    let file = format!("resnet18-{digits}.pth");
    setup.server.state().files.insert(format!("resolve/models/{file}"), content);
    let mut settings = setup.settings();
    settings.torchvision = format!("http://localhost:{}/resolve/models", setup.server.port);
    settings.token = Some(TOKEN.to_owned());
    let hub = Hub::new(settings);
    hub.get(&Name::Torchvision { file, digits }, &Unwatched).unwrap();
    assert_eq!((setup.server.requests("/resolve/models/"), setup.server.requests(TOKEN)), (1, 0));
    hub.get(&Name::parse("hf:timm/some").unwrap().unwrap(), &Unwatched).unwrap();
    assert!(setup.server.requests(TOKEN) > 0, "the hub is");
}

/// Links that lead nowhere are made anew; what cannot be noted is asked again.
#[test]
fn caches_that_somebody_has_been_at_are_used() {
    let setup = Setup::new(5_000);
    setup.is_there(&setup.get());
    fs::remove_file(setup.blob()).unwrap();
    setup.is_there(&setup.get());
    #[cfg(unix)]
    {
        let link = setup.snapshot("model.safetensors");
        for target in ["../../blobs/gone", "/nonexistent/anything"] {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(target, &link).unwrap();
            setup.is_there(&setup.get());
        }
    }
    // A folder where the file should be.
    fs::remove_file(setup.snapshot("model.safetensors")).unwrap();
    fs::create_dir(setup.snapshot("model.safetensors")).unwrap();
    setup.get().fails(1, &["model.safetensors: cannot write"]);
    fs::remove_dir(setup.snapshot("model.safetensors")).unwrap();
    setup.is_there(&setup.get());
    // No notes can be written, as where the cache is read only.
    let notes = setup.repository().join(".no_exist");
    fs::remove_dir_all(&notes).unwrap();
    fs::write(&notes, "in the way").unwrap();
    setup.is_there(&setup.get());
    setup.run(&["inspect", "hf:timm/some"]).fails(1, &["model.safetensors: not a readable file"]);
    // The repository is gone, or is not for everybody any more.
    for refused in [404, 401] {
        setup.server.state().refuse.push_back(refused);
        setup
            .run(&["inspect", "hf:timm/some"])
            .fails(1, &["model.safetensors: not a readable file"]);
    }
    // What a note says is no path.
    fs::write(setup.repository().join("refs/main"), "../../../outside").unwrap();
    setup.run(&["weights", "where", "hf:timm/some"]).fails(1, &["not in the cache"]);
    setup.is_there(&setup.get());
    assert_eq!(fs::read_to_string(setup.repository().join("refs/main")).unwrap(), COMMIT);
}

/// The shell sees to it that a file of more than some 100 KB cannot be written.
#[cfg(unix)]
#[test]
fn a_full_disk_is_one_clear_line_and_gone_on_with() {
    let setup = Setup::new(400_000);
    let program = setup.command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" weights get hf:timm/some"]);
    shell.arg(program.get_program()).current_dir(setup.home.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    finish(&mut shell).fails(1, &[".incomplete: cannot write: "]);
    assert!(!setup.snapshot("model.safetensors").exists());
    setup.is_there(&setup.get());
    assert!(setup.server.requests("bytes=") > 0, "not from the beginning");
}

#[test]
fn proxies_of_the_environment_are_used() {
    let setup = Setup::new(5_000);
    for variable in ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        let mut command = setup.command(&["weights", "get", "hf:timm/some"]);
        command.env("HF_ENDPOINT", "http://hub.invalid").env(variable, setup.server.url());
        setup.is_there(&finish(&mut command));
        assert!(setup.server.requests("CONNECT hub.invalid:80") > 0, "{variable}");
        setup.server.state().log.clear();
        fs::remove_dir_all(setup.home.path().join("hub")).unwrap();
    }
    // A proxy that is not there; and one that is not for this host.
    for proxy in ["http://127.0.0.1:9", "socks5://127.0.0.1:9"] {
        let proxied = |args: &[&str]| {
            let mut command = setup.command(args);
            command.env("ALL_PROXY", proxy);
            command
        };
        let get = ["weights", "get", "hf:timm/some"];
        finish(&mut proxied(&get)).fails(1, &["/timm/some/resolve/main/", "cannot be reached"]);
        setup.is_there(&finish(proxied(&get).env("NO_PROXY", "127.0.0.1,localhost")));
        fs::remove_dir_all(setup.home.path().join("hub")).unwrap();
    }
}

/// Who waits for another program says so, and goes on when that has ended.
#[test]
fn a_lock_that_another_holds_is_waited_for_aloud() {
    let setup = Setup::new(5_000);
    let locks = setup.home.path().join("hub/.locks/models--timm--some");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{}.lock", sha256(&setup.content())))).unwrap();
    lock.lock().unwrap();
    let mut command = setup.command(&["weights", "get", "hf:timm/some"]);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    assert_eq!(first, "resnet-cpu: hf:timm/some: waiting for another program, which fetches it");
    assert!(!setup.snapshot("model.safetensors").exists());
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert!(setup.snapshot("model.safetensors").is_file());
    assert!(said.all(|line| !line.unwrap().contains("waiting")), "once");
}
