//! A server that speaks the hub's protocol, as far as weights are fetched: descriptions, redirects to another host
//! for large files, parts; and what can go wrong.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Files from this size on are elsewhere, as those of Git LFS are.
const LARGE: usize = 1000;
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const TOKEN: &str = "hf_secret";

/// What the server has and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// `OWNER/REPOSITORY/FILE`, or `models/FILE`.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Answers with these states, one a request, before it does what it should.
    pub(crate) refuse: VecDeque<u16>,
    /// The next answers with content end after so many bytes of it.
    pub(crate) cut: VecDeque<usize>,
    /// Content has another last byte.
    pub(crate) damage: bool,
    /// Parts are not known.
    pub(crate) no_parts: bool,
    /// Content comes in pieces of this size, one every few milliseconds.
    pub(crate) slow: Option<usize>,
    /// A header of descriptions of large files, and what it says instead of the truth.
    pub(crate) lie: Option<(&'static str, String)>,
    /// The requests, with what is of interest of their headers.
    pub(crate) log: Vec<String>,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(answer(stream, port, &shared)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests whose line contains `part`.
    pub(crate) fn requests(&self, part: &str) -> usize {
        self.state().log.iter().filter(|line| line.contains(part)).count()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn git(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One request, one answer. As a proxy it leads to itself, whatever it is asked for.
fn answer(mut stream: TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.starts_with("CONNECT ") {
        state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).log.push(line.clone());
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line)?;
        }
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
        reader.read_line(&mut line)?;
        line = line.trim_start().to_owned();
    }
    let (mut range, mut host, mut token) = (None, String::new(), String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "host" => host = value.split(':').next().unwrap_or_default().to_owned(),
            "authorization" => token = value.to_owned(),
            _ => {}
        }
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
    let mut state = state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    state.log.push(format!("{method} {host}{path} range={range:?} token={token}"));
    let mut out = Answer { stream, head: method == "HEAD" };
    if let Some(status) = state.refuse.pop_front() {
        return out.send(status, &[], &[]);
    }
    let parts: Vec<&str> = path.trim_start_matches('/').splitn(5, '/').collect();
    let found = match parts[..] {
        ["old", repository, "resolve", revision, file] => {
            let to = format!("/new/{repository}/resolve/{revision}/{file}");
            return out.send(307, &[("Location", &to)], &[]);
        }
        [owner, repository, "resolve", revision, file] => {
            if owner == "private" && token != format!("Bearer {TOKEN}") {
                return out.send(401, &[("X-Error-Code", "RepoNotFound")], &[]);
            }
            let code = match () {
                () if !["main", COMMIT].contains(&revision) => Some("RevisionNotFound"),
                () if !state.files.contains_key(&format!("{owner}/{repository}/{file}")) => {
                    Some("EntryNotFound")
                }
                () => None,
            };
            if let Some(code) = code {
                return out.send(404, &[("X-Error-Code", code)], &[]);
            }
            let content = state.files[&format!("{owner}/{repository}/{file}")].clone();
            let (length, hash) = (content.len().to_string(), sha256(&content));
            if content.len() >= LARGE {
                let to = format!("http://localhost:{port}/cdn/{owner}/{repository}/{file}");
                let etag = format!("\"{hash}\"");
                let mut headers = [
                    ("Location", to.as_str()),
                    ("X-Repo-Commit", COMMIT),
                    ("X-Linked-Etag", &etag),
                    ("X-Linked-Size", &length),
                    ("ETag", "\"of the redirect\""),
                ];
                let lie = state.lie.clone();
                for (name, value) in &mut headers {
                    if let Some((_, other)) = lie.as_ref().filter(|(lying, _)| lying == name) {
                        *value = other;
                    }
                }
                return out.send(302, &headers, b"elsewhere");
            }
            let etag = format!("W/\"{}\"", git(&content));
            return out.send(200, &[("X-Repo-Commit", COMMIT), ("ETag", &etag)], &content);
        }
        ["cdn", ..] => state.files.get(path.trim_start_matches("/cdn/")).cloned(),
        _ => state.files.get(path.trim_start_matches('/')).cloned(),
    };
    let Some(mut content) = found else { return out.send(404, &[], &[]) };
    if state.damage {
        *content.last_mut().unwrap() ^= 1;
    }
    let (cut, slow, no_parts) = (state.cut.pop_front(), state.slow, state.no_parts);
    drop(state);
    let from = range.filter(|_| !no_parts).map(|range| {
        let from = range.trim_start_matches("bytes=").trim_end_matches('-');
        from.parse::<usize>().unwrap()
    });
    if from.is_some_and(|from| from >= content.len()) {
        return out.send(416, &[], &[]);
    }
    let part = &content[from.unwrap_or(0)..];
    let range = format!("bytes {}-{}/{}", from.unwrap_or(0), content.len() - 1, content.len());
    match from {
        Some(_) => out.begin(206, &[("Content-Range", &range)], part.len())?,
        None => out.begin(200, &[], part.len())?,
    }
    let part = &part[..cut.unwrap_or(part.len()).min(part.len())];
    for piece in part.chunks(slow.unwrap_or(part.len()).max(1)) {
        out.stream.write_all(piece)?;
        if slow.is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

struct Answer {
    stream: TcpStream,
    head: bool,
}

impl Answer {
    fn begin(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        length: usize,
    ) -> std::io::Result<()> {
        write!(
            self.stream,
            "HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n"
        )?;
        for (name, value) in headers {
            write!(self.stream, "{name}: {value}\r\n")?;
        }
        write!(self.stream, "\r\n")
    }

    fn send(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        content: &[u8],
    ) -> std::io::Result<()> {
        self.begin(status, headers, content.len())?;
        if self.head { Ok(()) } else { self.stream.write_all(content) }
    }
}
