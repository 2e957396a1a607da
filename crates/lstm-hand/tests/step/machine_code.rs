//! Reads this program's own machine code: which functions a step can reach.
//!
//! It proves, for the optimised build and the compiler at hand, that no panic is reachable from a step by
//! calls and jumps, direct ones and those through the table of addresses that the linker fills, but through
//! the making of an error for a wrong length, which formats text. Calls through other pointers are not
//! followed. There are two kinds: that of a stream to the step of weights in another format, which is
//! looked at by its name, and those of the last, partly filled vector to its load and store.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::process::Command;

use lstm_core::Result;
use lstm_hand::{Stream, WeightFormat};

/// Where a step starts.
#[inline(never)]
fn probe_plain_step(stream: &mut Stream<f32>, x: &[f32]) -> bool {
    let result: Result<&[f32]> = stream.step(x);
    result.is_ok()
}

/// Parts of the symbols at which a step starts.
const STARTS: [&str; 3] = [
    "probe_plain_step",
    "for$u20$lstm_core..ops..step_stream..Steps$LT$f32$C$lstm_core..ops..step_stream..bf16..Bf16$GT$$GT$4step",
    "for$u20$lstm_core..ops..step_stream..int8..Int8Steps$GT$4step",
];

/// Parts of the symbols that only make or destroy errors.
const OF_ERRORS: [&str; 4] =
    ["10check_each", "8mismatch", "lstm_core..error..Error", "5Error5check"];

/// Parts of the symbols that end the program.
const PANICS: [&str; 5] = ["panic", "unwrap_failed", "expect_failed", "_fail", "abort"];

fn objdump(option: &str) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("objdump").args([option, "--no-show-raw-insn"]).arg(program).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.trim().trim_start_matches("0x"), 16).ok()
}

/// Which function calls or jumps into which.
fn calls(code: &str, relocations: &str) -> BTreeMap<String, BTreeSet<String>> {
    let starts = code.lines().filter_map(|line| {
        let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
        Some((hex(address)?, name))
    });
    let names: BTreeMap<u64, &str> = starts.collect();
    let table = relocations.lines().filter_map(|line| {
        let (slot, target) = line.split_once(" R_")?;
        Some((hex(slot)?, *names.get(&hex(target.split_once("*ABS*+")?.1)?)?))
    });
    let table: BTreeMap<u64, &str> = table.collect();
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut at = String::new();
    for line in code.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            at = name.to_owned();
            calls.entry(at.clone()).or_default();
            continue;
        }
        let Some((_, instruction)) = line.split_once(":\t") else { continue };
        if !instruction.starts_with(['j', 'c', 'b', 't']) {
            continue; // Neither jmp, call nor a branch of aarch64.
        }
        let target = match instruction.split_once("# ") {
            Some((_, slot)) => {
                slot.split(' ').next().and_then(hex).and_then(|slot| table.get(&slot).copied())
            }
            None => instruction.split_once(" <").map(|(_, name)| name.trim_end_matches('>')),
        };
        if let Some(target) = target {
            let name = target.split_once("+0x").map_or(target, |(name, _)| name);
            calls.entry(at.clone()).or_default().insert(name.to_owned());
        }
    }
    calls
}

fn is_one_of(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| name.contains(part))
}

/// The first way from `starts` to a panic, or the names of all functions reached.
fn reached(
    calls: &BTreeMap<String, BTreeSet<String>>,
    starts: &[&str],
) -> std::result::Result<Vec<String>, String> {
    let mut left: Vec<_> = calls.keys().filter(|name| is_one_of(name, starts)).collect();
    let mut seen = BTreeMap::from_iter(left.iter().map(|&name| (name, String::new())));
    while let Some(name) = left.pop() {
        for target in &calls[name] {
            let path = format!("{}\n{name}", seen[name]);
            if is_one_of(target, &PANICS) {
                return Err(format!("{path}\n{target}"));
            }
            let known = calls.get_key_value(target).map(|(name, _)| name);
            if let Some(target) = known.filter(|name| !is_one_of(name, &OF_ERRORS))
                && !seen.contains_key(target)
            {
                seen.insert(target, path);
                left.push(target);
            }
        }
    }
    Ok(seen.into_keys().cloned().collect())
}

#[test]
fn no_panic_is_reachable_from_a_step() {
    let layers = super::stack::<f32>(&[2, 3]);
    for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8] {
        let mut stream = Stream::with_format(layers.clone(), format).unwrap();
        assert!(probe_plain_step(black_box(&mut stream), black_box(&[0.0; 2])));
    }
    if cfg!(debug_assertions) {
        println!("skipped: the build is not optimised and checks every sum for overflow");
        return;
    }
    let (Some(code), Some(relocations)) = (objdump("-d"), objdump("-R")) else {
        println!("skipped: no objdump");
        return;
    };
    let calls = calls(&code, &relocations);
    // A function that does panic is seen to.
    assert!(reached(&calls, &["no_panic_is_reachable_from_a_step"]).is_err());
    for start in STARTS {
        assert!(calls.keys().any(|name| name.contains(start)), "{start} is not in the program");
    }
    match reached(&calls, &STARTS) {
        Err(path) => panic!("a step reaches a panic:{path}"),
        Ok(names) => {
            let kernels = names.iter().filter(|name| name.contains("vectorize"));
            println!("{} functions reached, {} kernels", names.len(), kernels.count());
        }
    }
}
