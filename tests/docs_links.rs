//! Links between this repository's own documents: each names a file that is there, and a heading in it.

use std::path::{Path, PathBuf};

/// The Markdown files of a folder and of those in it.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "seeds" {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The text without blocks of code and code in lines, which may look like links.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let parts = line.split('`').enumerate().filter(|(i, _)| i % 2 == 0);
            prose.extend(parts.map(|(_, part)| part));
            prose.push('\n');
        }
    }
    prose
}

/// The targets of `[text](target)`.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// What a heading is linked by, as GitHub makes it.
fn anchors(text: &str) -> Vec<String> {
    let mut fenced = false;
    let headings = text.lines().filter(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced && line.starts_with('#')
    });
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then_some(c),
    };
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter_map(kept).collect())
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    documents(root, &mut found);
    assert!(found.iter().any(|path| path.ends_with("README.md")));
    let (mut dead, mut count) = (Vec::new(), 0);
    for document in &found {
        let text = std::fs::read_to_string(document).unwrap();
        for target in targets(&prose(&text)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let markdown = path.extension().is_some_and(|extension| extension == "md");
            let lives = path.exists()
                && (anchor.is_empty()
                    || !markdown
                    || anchors(&std::fs::read_to_string(&path).unwrap())
                        .iter()
                        .any(|heading| heading == anchor));
            if !lives {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(count > 10, "{count} links found in {} documents", found.len());
}

#[test]
fn headings_become_anchors_as_on_github() {
    let text = "# One, two: `three`\n```\n# code\n```\n## A-b c_d\n";
    assert_eq!(anchors(text), ["one-two-three", "a-b-c_d"]);
    assert_eq!(targets("a [b](c.md#d) [e](f)").collect::<Vec<_>>(), ["c.md#d", "f"]);
}
