//! Results as text for people and as records for programs.

use serde::Serialize;

use super::floor::Floor;
use super::shape::{Pass, Shape};
use super::turns::{Outcome, median_and_min};

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Record {
    /// B,T,I,H,L or B,T,I,H,L,bi.
    workload: String,
    pass: &'static str,
    threads: u16,
    #[serde(rename = "impl")]
    implementation: String,
    /// Of all calls of all turns.
    median_s: f64,
    min_s: f64,
}

/// What was measured of one workload.
pub struct Block<'a> {
    pub shape: &'a Shape,
    pub pass: Pass,
    pub threads: u16,
    pub floor: Floor,
    /// Name, samples, and why its numbers were not compared.
    pub rows: Vec<(&'a str, Outcome, Option<String>)>,
}

impl Block<'_> {
    pub fn records(&self) -> Vec<Record> {
        let record = |(name, outcome, _): &(&str, Outcome, Option<String>)| {
            let (median_s, min_s) = median_and_min(outcome.as_ref().ok()?)?;
            Some(Record {
                workload: self.shape.to_string(),
                pass: self.pass.as_str(),
                threads: self.threads,
                implementation: (*name).to_owned(),
                median_s,
                min_s,
            })
        };
        self.rows.iter().filter_map(record).collect()
    }

    /// A heading with the floor, a line for each implementation, and who is missing.
    pub fn to_text(&self) -> String {
        let records = self.records();
        let ours = records.first().map_or(f64::NAN, |record| record.median_s);
        let unit = Unit::of(ours);
        let mut text = self.heading(&unit);
        let header = ["median", "min"].map(|what| format!("{what}, {}", unit.name));
        let [median, min] = &header;
        let mut line = |line: String| text.push_str(&(line + "\n"));
        line(format!("  {:<14}{median:>12}{min:>12}{:>8}{:>14}", "", "ratio", "of the floor"));
        for record in &records {
            let Record { implementation, median_s, min_s, .. } = record;
            let (median, min) = (median_s * unit.per_second, min_s * unit.per_second);
            let (ratio, share) = (median_s / ours, 100.0 * self.floor.seconds() / min_s);
            line(format!(
                "  {implementation:<14}{median:>12.3}{min:>12.3}{ratio:>8.2}{share:>12.0} %"
            ));
        }
        for (name, outcome, unverified) in &self.rows {
            match (outcome, unverified) {
                (Err(why), _) => line(format!("  without {name}: {why}")),
                (Ok(_), Some(why)) => line(format!("  {name} was not compared: {why}")),
                (Ok(_), None) => {}
            }
        }
        text
    }

    fn heading(&self, unit: &Unit) -> String {
        let Self { shape, pass, threads, floor, .. } = self;
        let (case, sizes) = (shape.case(), shape.to_string());
        let name = if case == sizes { sizes } else { format!("{case} ({sizes})") };
        let pass = pass.as_str();
        let threads =
            if *threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        let (operations, bytes) = floor.parts();
        let [floor_time, operations, bytes] = [floor.seconds(), operations, bytes]
            .map(|seconds| format!("{:.3} {}", seconds * unit.per_second, unit.name));
        let (mops, peak) = (floor.operations * 1e-6, floor.peak * 1e-9);
        let (megabytes, bandwidth) = (floor.bytes * 1e-6, floor.bandwidth * 1e-9);
        format!(
            "\n{name}, {pass}, {threads}\n  floor {floor_time}: {mops:.3} M operations at {peak:.0} G/s are \
             {operations}, {megabytes:.3} MB at {bandwidth:.0} GB/s are {bytes}\n"
        )
    }
}

/// Milliseconds or microseconds.
struct Unit {
    name: &'static str,
    per_second: f64,
}

impl Unit {
    fn of(seconds: f64) -> Self {
        if seconds < 1e-3 {
            Self { name: "µs", per_second: 1e6 }
        } else {
            Self { name: "ms", per_second: 1e3 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Block;
    use crate::bench::floor::Floor;
    use crate::bench::shape::{Pass, Shape};

    #[test]
    fn who_is_missing_and_who_was_not_compared_is_said() {
        let shape: Shape = "W1".parse().unwrap();
        let refused = |why: &str| Some(why.to_owned());
        let block = Block {
            shape: &shape,
            pass: Pass::Train,
            threads: 2,
            floor: Floor::new(&shape, Pass::Train, (1e12, 1e12)),
            rows: vec![
                ("hand", Ok(vec![2e-3, 1.5e-3, 4e-3]), None),
                ("other", Ok(vec![6e-3]), refused("no such request")),
                ("third", Err("inference only".to_owned()), refused("inference only")),
            ],
        };
        let text = block.to_text();
        for words in
            ["W1 (128,5,256,128,1), train, 2 threads", "704.643 M operations", "3.00", "47 %"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.contains("other was not compared: no such request"), "{text}");
        assert!(text.contains("without third: inference only"), "{text}");
        let records = serde_json::to_value(block.records()).unwrap();
        assert_eq!(records.as_array().unwrap().len(), 2);
        assert_eq!(records[0]["impl"], "hand");
        assert_eq!(records[0]["median_s"], 2e-3);
        assert_eq!(records[0]["min_s"], 1.5e-3);
    }
}
