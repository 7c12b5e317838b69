//! `firndb lsm html`: a page that replays the edits of a manifest. It is one file and asks no other
//! host for anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use firndb::engine::Error;
use firndb::engine::fs::write_all_at;
use firndb::engine::key::KeyspaceId;
use firndb::engine::manifest::edit::Change;
use serde_json::{Value, json};

use super::manifest_of;
use crate::cli::{Exit, complain, print_lines};
use crate::offline::{FolderArgs, refused};
use crate::status;

const PAGE: &str = include_str!("replay.html");
/// What stands in the page where the edits belong.
const SLOT: &str = "/*EDITS*/null";

/// Arguments of `firndb lsm html`.
#[derive(Debug, Args)]
pub struct HtmlArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The page to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(args: &HtmlArgs) -> Result<(), Exit> {
    let folder = args.folder.open()?;
    let (mut edits, mut keys) = (Vec::new(), BTreeMap::new());
    let mut names = BTreeMap::new();
    let report = manifest_of(&folder, &mut |view| {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for change in view.edit.changes() {
            match change {
                Change::AddKeyspace { id, name, .. } => {
                    names.insert(*id, name.to_string());
                }
                Change::AddTable(id, place, table) => {
                    let of: &mut Borders = keys.entry(*id).or_default();
                    of.add(&table.smallest, &table.largest);
                    added.push((*id, *place, table.clone()));
                }
                Change::RemoveTable(_, number) => removed.push(number.0),
                _ => {}
            }
        }
        edits.push((view.edit.unix_ns, view.edit.reason.clone(), added, removed));
    })?;
    let scales: BTreeMap<KeyspaceId, _> = keys.iter().map(|(id, of)| (*id, of.scale())).collect();
    let place = |id: KeyspaceId, key: &[u8]| -> f64 {
        scales.get(&id).and_then(|scale| scale.get(key)).copied().unwrap_or_default()
    };
    let edits: Vec<Value> = edits
        .iter()
        .map(|(unix_ns, reason, added, removed)| {
            let added = added.iter().map(|(id, at, table)| {
                json!({
                    "n": table.number.0, "k": id.0, "l": at.level, "a": at.age, "b": table.bytes,
                    "e": table.entries, "s": place(*id, &table.smallest), "t": place(*id, &table.largest),
                })
            });
            json!({
                "time": status::time_of(*unix_ns), "reason": reason,
                "add": added.collect::<Vec<_>>(), "remove": removed,
            })
        })
        .collect();
    let names: BTreeMap<String, String> =
        names.into_iter().map(|(id, name)| (id.0.to_string(), name)).collect();
    let data =
        json!({ "store": format!("{:032x}", report.store_id), "keyspaces": names, "edits": edits });
    // A name may hold `</script>`; in JSON a `<` may as well be written by its number.
    let page = PAGE.replace(SLOT, &data.to_string().replace('<', "\\u003c"));
    write(args, &folder, &page)?;
    print_lines(&format!("{}: {} edits\n", args.output.display(), report.edits));
    Ok(())
}

/// First and last keys of the tables of a keyspace.
#[derive(Debug, Default)]
struct Borders(BTreeMap<Vec<u8>, Border>);

#[derive(Debug, Clone, Copy, Default)]
struct Border {
    is_first: bool,
    is_last: bool,
}

/// How wide the room is between the last key of a table and the first one of the next; all other
/// rooms between two borders are one wide.
const GAP: f64 = 0.03;

impl Borders {
    fn add(&mut self, smallest: &[u8], largest: &[u8]) {
        self.0.entry(smallest.to_vec()).or_default().is_first = true;
        self.0.entry(largest.to_vec()).or_default().is_last = true;
    }

    /// Where each lies, from 0 to 1. Keys are no numbers: their order is shown, not their distance;
    /// tables that follow each other are shown side by side.
    fn scale(&self) -> BTreeMap<&[u8], f64> {
        let (mut at, mut before) = (0.0, None);
        let mut scale = BTreeMap::new();
        for (key, border) in &self.0 {
            at += match before.replace(*border) {
                None => 0.0,
                Some(Border { is_first: false, .. }) if !border.is_last => GAP,
                Some(_) => 1.0,
            };
            scale.insert(&**key, at);
        }
        scale.values_mut().for_each(|place| *place /= f64::max(at, GAP));
        scale
    }
}

fn write(args: &HtmlArgs, folder: &crate::offline::Folder, page: &str) -> Result<(), Exit> {
    let path = &args.output;
    if path.exists() {
        complain(&format!("{} exists; name a new file", path.display()));
        return Err(Exit::Usage);
    }
    let file = folder.fs.create(path).map_err(|e| Error::io(path, "create", e));
    let written = file.and_then(|file| {
        write_all_at(&*file, page.as_bytes(), 0).map_err(|e| Error::io(path, "write", e))
    });
    written.map_err(|error| refused("cannot write the page", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_follow_each_other_lie_side_by_side() {
        let mut borders = Borders::default();
        for (smallest, largest) in [("a", "c"), ("d", "f"), ("g", "g"), ("b", "z")] {
            borders.add(smallest.as_bytes(), largest.as_bytes());
        }
        let scale = borders.scale();
        let at = |key: &str| scale[key.as_bytes()];
        assert_eq!((at("a"), at("z")), (0.0, 1.0));
        let keys = ["a", "b", "c", "d", "f", "g", "z"].map(at);
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(at("d") - at("c") < 0.05 && at("c") - at("b") > 0.15, "{keys:?}");
        let mut one = Borders::default();
        one.add(b"k", b"k");
        assert_eq!(one.scale()[&b"k"[..]], 0.0);
    }
}
