//! The names of published weights.

use std::fmt;
use std::path::Path;

use super::HubError;
use super::table::{FIRST, PUBLISHED};

/// Which weights are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// `hf:OWNER/REPOSITORY[@REVISION][:FILE]`: a file in a repository of the Hugging Face hub.
    Repository {
        /// Whose it is.
        owner: String,
        /// What it is called.
        repository: String,
        /// A branch, a tag or a commit.
        revision: String,
        /// A file in it; none means the usual ones.
        file: Option<String>,
    },
    /// `torchvision:NETWORK[.V1|.V2]`, or a network's name alone: weights of torchvision's.
    Torchvision {
        /// The file.
        file: String,
        /// The digits in its name, with which its SHA-256 begins.
        digits: String,
    },
}

impl Name {
    /// The weights called `text`; none if that is no name of this kind, but a path. A file that exists is
    /// always meant before weights of the same name: whoever calls this looks first.
    ///
    /// # Errors
    /// [`HubError::Name`] if it begins as such a name does and does not go on as one.
    pub fn parse(text: &str) -> Result<Option<Self>, HubError> {
        let wrong = || HubError::Name { name: text.to_owned() };
        if let Some(rest) = text.strip_prefix("hf:") {
            return repository(rest).map(Some).ok_or_else(wrong);
        }
        if let Some(rest) = text.strip_prefix("torchvision:") {
            return torchvision(rest).map(Some).ok_or_else(wrong);
        }
        Ok(PUBLISHED.iter().find(|it| it.name == text).map(|it| file(it.file)))
    }

    /// As [`parse`](Self::parse), unless there is a file at that path.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    pub fn of_path(path: &Path) -> Result<Option<Self>, HubError> {
        match path.to_str() {
            Some(text) if !path.exists() => Self::parse(text),
            _ => Ok(None),
        }
    }
}

fn file(name: &str) -> Name {
    let stem = name.split('.').next().unwrap_or(name);
    let digits = stem.rsplit('-').next().unwrap_or(stem).to_owned();
    Name::Torchvision { file: name.to_owned(), digits }
}

fn torchvision(text: &str) -> Option<Name> {
    let (network, version) = match text.split_once('.') {
        Some((network, version)) => (network, Some(version.to_ascii_uppercase())),
        None => (text, None),
    };
    let best = PUBLISHED.iter().find(|it| it.name == network)?;
    let first = FIRST.iter().find(|(name, _)| *name == network).map(|(_, file)| *file);
    match (version.as_deref(), first) {
        (None, _) | (Some("V2"), Some(_)) | (Some("V1"), None) => Some(file(best.file)),
        (Some("V1"), Some(first)) => Some(file(first)),
        _ => None,
    }
}

fn repository(text: &str) -> Option<Name> {
    let (text, file) = match text.split_once(':') {
        Some((text, file)) => (text, Some(file)),
        None => (text, None),
    };
    let (text, revision) = text.split_once('@').unwrap_or((text, "main"));
    let (owner, repository) = text.split_once('/')?;
    let word = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        // Two hyphens are between owner and repository in the cache.
        let parts = text.contains("--") || text.contains("..");
        let marks = text.starts_with(['.', '-']) || text.ends_with(['.', '-']);
        (1..=96).contains(&text.len()) && text.chars().all(fits) && !parts && !marks
    };
    let relative = |text: &str| {
        let fits = |c: char| !c.is_control() && !"\\:?*\"<>|".contains(c);
        text.len() <= 255
            && text.chars().all(fits)
            && text.split('/').all(|p| !p.is_empty() && !p.starts_with('.'))
    };
    let fits = word(owner) && word(repository) && relative(revision) && file.is_none_or(relative);
    fits.then(|| Name::Repository {
        owner: owner.to_owned(),
        repository: repository.to_owned(),
        revision: revision.to_owned(),
        file: file.map(str::to_owned),
    })
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torchvision { file, .. } => write!(f, "torchvision's {file}"),
            Self::Repository { owner, repository, revision, file } => {
                write!(f, "hf:{owner}/{repository}")?;
                if revision != "main" {
                    write!(f, "@{revision}")?;
                }
                file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(text: &str) -> String {
        match Name::parse(text) {
            Ok(Some(Name::Torchvision { file, digits })) => {
                assert_eq!((digits.len(), file.contains(&digits)), (8, true));
                file
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn networks_have_a_best_and_perhaps_a_first_version() {
        for (name, file) in [
            ("resnet50", "resnet50-11ad3fa6.pth"),
            ("torchvision:resnet50", "resnet50-11ad3fa6.pth"),
            ("torchvision:resnet50.v1", "resnet50-0676ba61.pth"),
            ("torchvision:resnet18.V1", "resnet18-f37072fd.pth"),
            ("torchvision:resnet152.V2", "resnet152-f82ba261.pth"),
        ] {
            assert_eq!(file_of(name), file);
        }
        for published in PUBLISHED {
            assert_eq!(file_of(published.name), published.file);
            assert_eq!(file_of(published.source), published.file);
        }
    }

    #[test]
    fn repositories_have_a_revision_and_a_file() {
        let parsed = |text: &str| Name::parse(text).unwrap().unwrap();
        let name = |revision: &str, file: Option<&str>| Name::Repository {
            owner: "timm".to_owned(),
            repository: "resnet18.a1_in1k".to_owned(),
            revision: revision.to_owned(),
            file: file.map(str::to_owned),
        };
        assert_eq!(parsed("hf:timm/resnet18.a1_in1k"), name("main", None));
        assert_eq!(parsed("hf:timm/resnet18.a1_in1k@refs/pr/1"), name("refs/pr/1", None));
        let all = "hf:timm/resnet18.a1_in1k@v1:sub/model.bin";
        assert_eq!(parsed(all), name("v1", Some("sub/model.bin")));
        assert_eq!(parsed(all).to_string(), all);
    }

    #[test]
    fn what_is_no_name_is_a_path_or_an_error() {
        for path in ["model.pth", "resnet20", "resnet50.pth", "./resnet50", "", "timm/resnet18"] {
            assert_eq!(Name::parse(path).unwrap(), None, "{path}");
        }
        for wrong in [
            "hf:",
            "hf:timm",
            "hf:timm/",
            "hf:/x",
            "hf:a/b/c",
            "hf:a/..",
            "hf:../b",
            "hf:a/b@",
            "hf:a/b:",
            "hf:a/b:../c",
            "hf:a/b:/c",
            "hf:a/b@../../c",
            "hf:a/b:c\\d",
            "hf:a/b:c\nd",
            "hf:a b/c",
            "hf:a--b/c",
            "hf:a/b--c",
            "hf:a-/b",
            "hf:a/b..c",
            "torchvision:",
            "torchvision:resnet20",
            "torchvision:resnet18.V2",
            "torchvision:resnet50.V3",
        ] {
            assert!(matches!(Name::parse(wrong), Err(HubError::Name { .. })), "{wrong}");
        }
    }
}
