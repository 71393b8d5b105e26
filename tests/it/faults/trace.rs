//! What a process did to its files and told its callers, in order, as strace saw it.

use std::path::{Path, PathBuf};

/// The system calls that change files or speak to somebody.
pub const CALLS: &str = "trace=openat,pwrite64,pwritev,pwritev2,write,writev,fsync,fdatasync,\
    sync_file_range,ftruncate,truncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile,sendto,sendmsg,sendmmsg";

/// One of them, as it began, or as it ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file that was opened to be made, if it was not there; with the file descriptor.
    Made(PathBuf),
    /// A folder was made.
    Folder(PathBuf),
    /// Octets were written to a place in a file; at its end where there is none.
    Write { path: PathBuf, at: Option<usize>, octets: Vec<u8> },
    /// A file was cut, or filled with zeros, to a length.
    Length { path: PathBuf, length: usize },
    /// A sync of a file or folder was asked for.
    Syncing(PathBuf),
    /// The sync that was asked for last has succeeded.
    Synced(PathBuf),
    /// It has failed.
    NotSynced(PathBuf),
    /// One name became another.
    Renamed(PathBuf, PathBuf),
    /// A name is gone.
    Removed(PathBuf),
    /// This was sent through a socket.
    Said(Vec<u8>),
}

/// Reads what `strace -f -y -xx` wrote; only files below `root` matter.
pub fn read(text: &str, root: &Path) -> Vec<Event> {
    let mut reader = Reader { root, unfinished: Vec::new(), events: Vec::new() };
    text.lines().for_each(|line| reader.line(line));
    reader.events
}

struct Reader<'a> {
    root: &'a Path,
    /// Calls that have begun, by thread.
    unfinished: Vec<(String, String)>,
    events: Vec<Event>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        let Some((thread, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            self.begin(begun);
            self.unfinished.push((thread.to_owned(), begun.to_owned()));
        } else if rest.starts_with("<... ") {
            let Some((_, result)) = rest.rsplit_once(" = ") else { return };
            let place = self.unfinished.iter().position(|(begun, _)| begun == thread);
            let Some(place) = place else { return };
            let (_, begun) = self.unfinished.swap_remove(place);
            self.end(&begun, result);
        } else if let Some((call, result)) = rest.rsplit_once(" = ") {
            self.begin(call);
            self.end(call, result);
        }
    }

    /// What counts from its beginning: a write may be on the disk, or heard, before the call returns.
    fn begin(&mut self, call: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        let event = match name {
            "write" | "writev" | "sendto" | "sendmsg" if file(arguments).starts_with("socket:") => {
                Some(Event::Said(strings(arguments).concat()))
            }
            "pwrite64" => self.below(file(arguments)).map(|path| {
                let at = arguments.trim_end().trim_end_matches(')').rsplit(", ").next();
                let at = Some(at.and_then(|at| at.parse().ok()).expect("an offset"));
                Event::Write { path, at, octets: strings(arguments).concat() }
            }),
            "write" => self.below(file(arguments)).map(|path| Event::Write {
                path,
                at: None,
                octets: strings(arguments).concat(),
            }),
            "fsync" | "fdatasync" => self.below(file(arguments)).map(Event::Syncing),
            "ftruncate" => self.below(file(arguments)).map(|path| {
                let length = arguments.trim_end().trim_end_matches(')').rsplit(", ").next();
                Event::Length {
                    path,
                    length: length.and_then(|length| length.parse().ok()).expect("a length"),
                }
            }),
            _ => None,
        };
        self.events.extend(event);
    }

    /// What counts when it has succeeded.
    fn end(&mut self, call: &str, result: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        if result.starts_with('-') {
            let failed = ["fsync", "fdatasync"].contains(&name);
            let path = self.below(file(arguments)).filter(|_| failed);
            return self.events.extend(path.map(Event::NotSynced));
        }
        let named: Vec<PathBuf> = strings(arguments)
            .into_iter()
            .filter_map(|name| self.below(String::from_utf8(name).ok()?))
            .collect();
        let event = match (name, &named[..]) {
            ("fsync" | "fdatasync", _) => self.below(file(arguments)).map(Event::Synced),
            ("openat", [path]) if arguments.contains("O_CREAT") => Some(Event::Made(path.clone())),
            ("mkdir" | "mkdirat", [path]) => Some(Event::Folder(path.clone())),
            ("rename" | "renameat" | "renameat2", [from, to]) => {
                Some(Event::Renamed(from.clone(), to.clone()))
            }
            ("unlink" | "unlinkat" | "rmdir", [path]) => Some(Event::Removed(path.clone())),
            ("openat" | "write" | "pwrite64" | "ftruncate", _) => None,
            ("writev" | "sendto" | "sendmsg", _) if file(arguments).starts_with("socket:") => None,
            // What is not understood must not change files that matter.
            _ => {
                let touched = !named.is_empty() || self.below(file(arguments)).is_some();
                assert!(!touched, "a call that this reader does not know: {call}");
                None
            }
        };
        self.events.extend(event);
    }

    /// The path, if it matters.
    fn below(&self, path: String) -> Option<PathBuf> {
        let path: PathBuf = Path::new(&path).components().collect();
        path.starts_with(self.root).then_some(path)
    }
}

/// What the first argument stands for: `13</data/ct/2026.sqlite-wal>`.
fn file(arguments: &str) -> String {
    let named = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let named = named.filter(|(_, rest)| !rest.starts_with("(deleted)"));
    named.map_or_else(String::new, |(name, _)| String::from_utf8_lossy(&octets(name)).into_owned())
}

/// Every string among the arguments.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    let quoted = arguments.split('"').skip(1).step_by(2);
    quoted.map(octets).collect()
}

/// `\x2f\x61` → `/a`; a text that is not written so stands for itself.
fn octets(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes().chunks_exact(4).map(|four| digit(four[2]) << 4 | digit(four[3])).collect()
}
