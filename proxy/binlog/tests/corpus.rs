//! Every fuzz entry runs its corpus, mutations of it and random bytes. The corpus of streams holds what
//! real servers logged; `UPDATE_CORPUS=1` writes the parts that this test makes itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shardline_binlog::fuzz::ENTRIES;
use shardline_binlog::gtid::mysql::GtidSet;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn seeds(entry: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = std::fs::read_dir(corpus().join(entry))
        .unwrap_or_else(|error| panic!("no corpus for {entry}: {error}"))
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {entry} is empty");
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn corpus_and_mutations() {
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        write_corpus();
    }
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), 0u8..4);
    for (name, entry) in ENTRIES {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| entry(seed));
        let mut runner =
            TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
        let mutated = (prop::sample::select(seeds), prop::collection::vec(mutation.clone(), 1..6));
        let outcome = runner.run(&mutated, |(mut bytes, mutations)| {
            for (place, byte, kind) in mutations {
                let place = place.index(bytes.len() + 1);
                match (kind, bytes.get_mut(place)) {
                    (0, _) => bytes.truncate(place),
                    (1, _) => bytes.insert(place, byte),
                    (2, Some(_)) => drop(bytes.remove(place)),
                    (_, Some(found)) => *found = byte,
                    (_, None) => bytes.push(byte),
                }
            }
            entry(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        let random = prop::collection::vec(any::<u8>(), 0..200);
        let outcome = runner.run(&random, |bytes| {
            entry(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn write(entry: &str, name: &str, bytes: &[u8]) {
    let folder = corpus().join(entry);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn write_corpus() {
    let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:8,\
               3e11fa47-71ca-11e1-9e33-c80aa9429562:red:1,ffffffff-ffff-ffff-ffff-ffffffffffff:7-9";
    let mut encoded = BytesMut::new();
    set.parse::<GtidSet>().unwrap().encode(&mut encoded);
    write("gtid_set", "text", set.as_bytes());
    write("gtid_set", "tagged", &encoded);
    let mut encoded = BytesMut::new();
    set.split(',').next().unwrap().parse::<GtidSet>().unwrap().encode(&mut encoded);
    write("gtid_set", "plain", &encoded);
    // {"a": [1, "x"], "b": null}
    let object = [
        &[0, 2, 0, 32, 0, 18, 0, 1, 0, 19, 0, 1, 0, 2, 20, 0, 4, 0, 0][..],
        b"ab",
        &[2, 0, 12, 0, 5, 1, 0, 12, 10, 0, 1, b'x'],
    ];
    write("json", "object", &object.concat());
    write("json", "decimal", &[15, 246, 4, 3, 1, 0x8f, 5]);
    write("json", "string", b"\x0c\x04a\"\n\x01");
    // d.t (id INT UNSIGNED, name VARCHAR(20) utf8mb4, e ENUM) with full metadata.
    let map = [
        &[7, 0, 0, 0, 0, 0, 1, 0][..],
        b"\x01d\0\x01t\0",
        &[3, 3, 15, 254, 4, 80, 0, 247, 1, 0b110, 1, 1, 0x80, 2, 1, 45],
        b"\x04\x0a\x02id\x04name\x01e\x06\x05\x02\x01a\x01b",
        &[8, 1, 0, 12, 1, 0b1100_0000],
    ];
    write("table_map", "full", &map.concat());
}
