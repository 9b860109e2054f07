//! Connection contexts: named connection settings in files, shared with the official tool.
//!
//! A context is `<config>/nats/context/NAME.json`; `<config>/nats/context.txt` holds the name of the selected one.
//! `<config>` is `$XDG_CONFIG_HOME`, else `~/.config`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Every key of a context file, in the order in which the official tool writes them.
const KEYS: [&str; 24] = [
    "description",
    "url",
    "socks_proxy",
    "token",
    "user",
    "password",
    "creds",
    "nkey",
    "cert",
    "key",
    "ca",
    "nsc",
    "jetstream_domain",
    "jetstream_api_prefix",
    "jetstream_event_prefix",
    "inbox_prefix",
    "user_jwt",
    "user_seed",
    "color_scheme",
    "tls_first",
    "windows_cert_store",
    "windows_cert_match_by",
    "windows_cert_match",
    "windows_ca_certs_match",
];

/// Settings that change how a connection is made but are not built here; a context that uses one is refused.
const NOT_BUILT: [&str; 8] = [
    "socks_proxy",
    "creds",
    "nkey",
    "nsc",
    "user_jwt",
    "user_seed",
    "windows_cert_store",
    "windows_cert_match",
];

/// The settings of one context.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// The name, which is the name of the file.
    pub(crate) name: String,
    settings: Map<String, Value>,
}

impl Context {
    /// An empty context.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: Map::new(),
        }
    }

    /// The text of a setting; `None` when it is empty or absent.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.settings
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.settings.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// Sets a text.
    pub(crate) fn set(&mut self, key: &str, text: &str) {
        self.settings.insert(key.to_owned(), Value::from(text));
    }

    /// Turns a switch on.
    pub(crate) fn turn_on(&mut self, key: &str) {
        self.settings.insert(key.to_owned(), Value::Bool(true));
    }

    /// The settings that are used in it but not built in this tool.
    pub(crate) fn not_built(&self) -> Vec<&'static str> {
        NOT_BUILT
            .into_iter()
            .filter(|key| self.text(key).is_some())
            .collect()
    }

    /// The file's text: every known key in the official order, then those that only the file knows.
    pub(crate) fn render(&self) -> String {
        let empty = |key: &str| match key {
            "tls_first" => Value::Bool(false),
            "windows_ca_certs_match" => Value::Null,
            _ => Value::from(""),
        };
        let known = KEYS.into_iter().map(|key| {
            let value = self.settings.get(key).cloned();
            (key, value.unwrap_or_else(|| empty(key)))
        });
        let unknown = self
            .settings
            .iter()
            .filter(|(key, _)| !KEYS.contains(&key.as_str()))
            .map(|(key, value)| (key.as_str(), value.clone()));
        let lines: Vec<String> = known
            .chain(unknown)
            .map(|(key, value)| format!("  {}: {value}", Value::from(key)))
            .collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
}

/// The folder with all contexts.
pub(crate) struct Contexts {
    root: PathBuf,
}

impl Contexts {
    /// The contexts of this user; `None` when neither `XDG_CONFIG_HOME` nor `HOME` is set.
    pub(crate) fn of_user() -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let config = match set("XDG_CONFIG_HOME") {
            Some(config) => PathBuf::from(config),
            None => PathBuf::from(set("HOME")?).join(".config"),
        };
        Some(Self::new(&config))
    }

    /// The contexts below a configuration folder.
    pub(crate) fn new(config: &Path) -> Self {
        Self {
            root: config.join("nats"),
        }
    }

    /// The name of the selected context.
    ///
    /// # Errors
    /// [`Failure::File`] when the selection exists but cannot be read.
    pub(crate) fn selected(&self) -> Result<Option<String>, Failure> {
        let path = self.root.join("context.txt");
        match std::fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file(
                format!("cannot read {}", path.display()),
                error,
            )),
        }
    }

    /// Reads a context. Asking for one that does not exist changes nothing.
    ///
    /// # Errors
    /// [`Failure::Other`] when there is none of that name or its file is not a JSON object, [`Failure::File`] when it
    /// cannot be read.
    pub(crate) fn load(&self, name: &str) -> Result<Context, Failure> {
        let path = self.path(name)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let names = self.names()?;
                let known = match names.is_empty() {
                    true => "there are no contexts".to_owned(),
                    false => format!("known are {}", names.join(", ")),
                };
                return Err(Failure::other(format!(
                    "context {name:?} does not exist; {known}"
                )));
            }
            Err(error) => {
                return Err(Failure::file(
                    format!("cannot read {}", path.display()),
                    error,
                ));
            }
        };
        let settings = serde_json::from_str(&text)
            .map_err(|error| Failure::other(format!("context file {}: {error}", path.display())))?;
        Ok(Context {
            name: name.to_owned(),
            settings,
        })
    }

    /// The names of all contexts, sorted.
    ///
    /// # Errors
    /// [`Failure::File`] when the folder exists but cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let folder = self.root.join("context");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::file(
                    format!("cannot read {}", folder.display()),
                    error,
                ));
            }
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".json").map(str::to_owned)
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// Writes a context, readable only by its owner because it may hold secrets.
    ///
    /// # Errors
    /// [`Failure::File`] when the file cannot be written.
    pub(crate) fn save(&self, context: &Context) -> Result<(), Failure> {
        let path = self.path(&context.name)?;
        self.write(&path, &context.render())
    }

    /// Selects a context that exists, and remembers the one selected before.
    ///
    /// # Errors
    /// As [`Contexts::load`] and [`Contexts::save`].
    pub(crate) fn select(&self, name: &str) -> Result<(), Failure> {
        self.load(name)?;
        if let Some(previous) = self.selected()?.filter(|previous| previous != name) {
            self.write(&self.root.join("previous-context.txt"), &previous)?;
        }
        self.write(&self.root.join("context.txt"), name)
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let bad = name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']);
        if bad {
            return Err(Failure::usage(format!(
                "{name:?} cannot be the name of a context"
            )));
        }
        Ok(self.root.join("context").join(format!("{name}.json")))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let failed = |error| Failure::file(format!("cannot write {}", path.display()), error);
        let folder = path.parent().unwrap_or(&self.root);
        create_private_folder(folder).map_err(failed)?;
        // Written beside and renamed, so that a reader never sees half a file.
        let beside = path.with_extension("new");
        write_private_file(&beside, text).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }
}

#[cfg(unix)]
fn create_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn create_private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(unix)]
fn write_private_file(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // A file left behind keeps its mode when it is opened again, so it goes first.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private_file(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Contexts) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("nats/context")).expect("created");
        for (name, text) in files {
            std::fs::write(folder.path().join("nats").join(name), text).expect("written");
        }
        let contexts = Contexts::new(folder.path());
        (folder, contexts)
    }

    #[test]
    fn the_selected_context_is_read_from_its_file() {
        let (_folder, contexts) = folder_with(&[
            ("context.txt", "prod"),
            (
                "context/prod.json",
                r#"{"url": "nats://a:4222,nats://b:4222", "user": "u", "password": "", "tls_first": true, "creds": "/x"}"#,
            ),
            ("context/dev.json", "{}"),
        ]);
        assert_eq!(contexts.names().expect("read"), ["dev", "prod"]);
        let selected = contexts.selected().expect("read").expect("selected");
        let context = contexts.load(&selected).expect("read");
        assert_eq!(
            context.text("url").as_deref(),
            Some("nats://a:4222,nats://b:4222")
        );
        assert_eq!(context.text("user").as_deref(), Some("u"));
        assert_eq!(context.text("password"), None, "empty is unset");
        assert!(context.is_on("tls_first"));
        assert_eq!(context.not_built(), ["creds"]);
    }

    #[test]
    fn a_missing_context_is_named_and_the_selection_stays() {
        let (_folder, contexts) =
            folder_with(&[("context.txt", "dev"), ("context/dev.json", "{}")]);
        let error = contexts.load("typo").expect_err("missing").to_string();
        assert!(error.contains("\"typo\" does not exist"), "{error}");
        assert!(error.contains("known are dev"), "{error}");
        assert_eq!(contexts.selected().expect("read").as_deref(), Some("dev"));
        assert!(contexts.load("../dev").is_err());
    }

    #[test]
    fn without_a_folder_there_is_no_context() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let contexts = Contexts::new(folder.path());
        assert_eq!(contexts.selected().expect("read"), None);
        assert!(contexts.names().expect("read").is_empty());
    }

    #[test]
    fn a_saved_context_is_private_complete_and_selectable() {
        let (folder, contexts) = folder_with(&[("context.txt", "old"), ("context/old.json", "{}")]);
        let mut context = Context::new("new");
        context.set("url", "nats://c:4222");
        contexts.save(&context).expect("saved");
        contexts.select("new").expect("selected");

        let path = folder.path().join("nats/context/new.json");
        let text = std::fs::read_to_string(&path).expect("read");
        let document: Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document.len(), KEYS.len());
        assert_eq!(document["url"], "nats://c:4222");
        assert_eq!(contexts.selected().expect("read").as_deref(), Some("new"));
        let previous = folder.path().join("nats/previous-context.txt");
        assert_eq!(std::fs::read_to_string(previous).expect("read"), "old");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
