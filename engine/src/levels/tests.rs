//! Versions: order, edits that fit and that do not, files that outlive them.

use super::*;

use std::path::Path;

use crate::manifest::TableMeta;

use crate::budget::Budget;
use crate::cache::Cache;
use crate::fs::Fs;
use crate::fs::sim::SimFs;

fn table(number: u64, smallest: &str, largest: &str) -> Arc<TableFile> {
    let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
    let graveyard = Graveyard::new(fs, Path::new("/db"), Box::new(|| {}));
    let meta = TableMeta {
        number: FileNumber(number),
        written_as: FileNumber(number),
        bytes: 1,
        entries: 1,
        deletes: 0,
        raw_bytes: 1,
        min_seq: 1,
        max_seq: 1,
        is_final: number > 100,
        clean_seq: 0,
        expires_max_ms: None,
        smallest: smallest.as_bytes().into(),
        largest: largest.as_bytes().into(),
    };
    TableFile::open(meta, &Cache::new(0, Budget::unlimited()), &graveyard).unwrap()
}

fn place(level: u8, age: u64) -> Place {
    Place { level, age }
}

fn shape(version: &Version) -> Vec<(u8, u64, u64)> {
    let numbers = version.tables().map(|(p, table)| (p.level, p.age, table.meta.number.0));
    numbers.collect()
}

#[test]
fn runs_are_in_order_of_age_and_tables_in_order_of_keys() {
    let version = Version::default();
    let added = [
        (place(0, 3), table(1, "a", "c")),
        (place(0, 9), table(2, "b", "d")),
        (place(0, 3), table(3, "d", "e")),
        (place(2, 0), table(4, "m", "n")),
        (place(2, 0), table(5, "a", "b")),
        (place(6, 0), table(6, "a", "z")),
    ];
    let version = version.edited(&[], &added).unwrap();
    let expected = [(0, 9, 2), (0, 3, 1), (0, 3, 3), (2, 0, 5), (2, 0, 4), (6, 0, 6)];
    assert_eq!(shape(&version), expected);
    assert_eq!(version.runs().count(), 4);
    // A merge of the two young runs takes the place of the newer.
    let removed = [FileNumber(1), FileNumber(2), FileNumber(3)];
    let next = version.edited(&removed, &[(place(0, 9), table(7, "a", "e"))]).unwrap();
    assert_eq!(shape(&next), [(0, 9, 7), (2, 0, 5), (2, 0, 4), (6, 0, 6)]);
    assert_eq!(shape(&version), expected, "a version never changes");
}

#[test]
fn edits_that_do_not_fit_are_refused() {
    let one = Version::default().edited(&[], &[(place(1, 0), table(1, "a", "c"))]).unwrap();
    let overlapping = one.edited(&[], &[(place(1, 0), table(2, "c", "d"))]);
    assert!(overlapping.unwrap_err().contains("overlap"), "a key in two tables of a run");
    assert!(one.edited(&[FileNumber(2)], &[]).is_err(), "a table that is not there");
    assert!(one.edited(&[], &[(place(7, 0), table(2, "x", "y"))]).is_err(), "a level too deep");
}

#[test]
fn a_run_knows_which_table_covers_a_key() {
    let run =
        Run { age: 1, tables: vec![table(1, "b", "d"), table(2, "f", "f"), table(3, "h", "k")] };
    let covering = |key: &str| run.table_for(key.as_bytes()).map(|table| table.meta.number.0);
    let cases = [("a", None), ("b", Some(1)), ("d", Some(1)), ("e", None), ("f", Some(2))];
    for (key, expected) in cases.into_iter().chain([("h", Some(3)), ("k", Some(3)), ("l", None)]) {
        assert_eq!(covering(key), expected, "{key}");
    }
}

#[test]
fn final_is_one_run_of_final_tables() {
    let cases = [
        ("nothing", vec![], false),
        ("one final run of two", vec![(0, 101), (0, 102)], true),
        ("one not final", vec![(0, 101), (0, 2)], false),
        ("two runs", vec![(0, 101), (1, 102)], false),
    ];
    for (name, tables, expected) in cases {
        let key = |number: u64| format!("{number}");
        let added = tables.iter().map(|(level, number)| {
            (place(*level, 0), table(*number, &key(*number), &key(*number)))
        });
        let version = Version::default().edited(&[], &added.collect::<Vec<_>>()).unwrap();
        assert_eq!(version.is_final(), expected, "{name}");
    }
}

#[test]
fn an_obsolete_file_is_buried_when_its_last_holder_goes() {
    let table = table(1, "a", "b");
    let graveyard = table.graveyard().clone();
    let version = Version::default().edited(&[], &[(place(0, 1), table.clone())]).unwrap();
    table.set_obsolete(&crate::manifest::CommittedEdit::for_test());
    drop(table);
    assert!(!graveyard.is_due(), "the version holds it");
    drop(version);
    assert!(graveyard.is_due());
    assert_eq!(graveyard.clear(), 1);
    assert!(!graveyard.is_due());
}
