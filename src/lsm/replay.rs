//! `firndb lsm html`: a page that replays the edits of a manifest. It is one file and asks no other
//! host for anything.

use std::collections::{BTreeMap, BTreeSet};
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
                    let of: &mut BTreeSet<Vec<u8>> = keys.entry(*id).or_default();
                    of.insert(table.smallest.to_vec());
                    of.insert(table.largest.to_vec());
                    added.push((*id, *place, table.clone()));
                }
                Change::RemoveTable(_, number) => removed.push(number.0),
                _ => {}
            }
        }
        edits.push((view.edit.unix_ns, view.edit.reason.clone(), added, removed));
    })?;
    let keys: BTreeMap<_, Vec<Vec<u8>>> =
        keys.into_iter().map(|(id, keys)| (id, keys.into_iter().collect())).collect();
    // Where a key lies between all that are borders of tables of its keyspace.
    let place = |id: KeyspaceId, key: &[u8]| -> f64 {
        let Some(of) = keys.get(&id) else { return 0.0 };
        of.partition_point(|other| **other < *key) as f64 / (of.len().max(2) - 1) as f64
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
