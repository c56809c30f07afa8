//! Samples gathered into a Markdown table.

use std::fmt::Write as _;

use super::measure::Sample;

/// Samples by contestant and mode, in the order in which they first came.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(&'static str, &'static str, Vec<Sample>)>);

impl Table {
    /// Adds a sample.
    pub(crate) fn add(&mut self, contestant: &'static str, mode: &'static str, sample: Sample) {
        let row = self
            .0
            .iter_mut()
            .find(|row| row.0 == contestant && row.1 == mode);
        match row {
            Some(row) => row.2.push(sample),
            None => self.0.push((contestant, mode, vec![sample])),
        }
    }

    /// Returns the table as Markdown, cold rows first.
    pub(crate) fn render(&self, what: &str) -> String {
        let mut text = format!("Median (least–greatest), {what}.\n\n");
        text += "| | runs | time, s | against the floor | client memory, MiB | requests | from registry, MB | to registry, MB | layer, MB | solves | containers |\n";
        text += "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
        for mode in ["cold", "warm", "again"] {
            let floor = self
                .samples("floor", mode)
                .map(|samples| median(samples, |one| one.seconds));
            for (contestant, _, samples) in self.0.iter().filter(|row| row.1 == mode) {
                let seconds = median(samples, |one| one.seconds);
                let ratio =
                    floor.map_or_else(|| "–".to_owned(), |floor| format!("{:.2}", seconds / floor));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "| {contestant}, {mode} | {} | {} | {ratio} | {} | {} | {} | {} | {} | {} | {} |",
                    samples.len(),
                    spread(samples, 2, |one| one.seconds),
                    spread(samples, 0, |one| units(one.memory, 1_048_576)),
                    spread(samples, 0, |one| units(one.requests, 1)),
                    spread(samples, 1, |one| units(one.sent, 1_000_000)),
                    spread(samples, 1, |one| units(one.received, 1_000_000)),
                    spread(samples, 2, |one| units(one.layer, 1_000_000)),
                    spread(samples, 0, |one| units(one.solves, 1)),
                    spread(samples, 0, |one| units(one.containers, 1)),
                );
            }
        }
        text
    }

    fn samples(&self, contestant: &str, mode: &str) -> Option<&[Sample]> {
        let row = self
            .0
            .iter()
            .find(|row| row.0 == contestant && row.1 == mode)?;
        Some(&row.2)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn units(count: u64, unit: u64) -> f64 {
    count as f64 / unit as f64
}

fn sorted(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let values = sorted(samples, of);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

fn spread(samples: &[Sample], digits: usize, of: impl Fn(&Sample) -> f64 + Copy) -> String {
    let values = sorted(samples, of);
    let (least, greatest) = (
        values.first().copied().unwrap_or(f64::NAN),
        values.last().copied().unwrap_or(f64::NAN),
    );
    let middle = median(samples, of);
    let [middle, least, greatest] =
        [middle, least, greatest].map(|value| format!("{value:.digits$}"));
    if least == greatest {
        middle
    } else {
        format!("{middle} ({least}–{greatest})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64) -> Sample {
        Sample {
            seconds,
            memory: 1_048_576,
            requests: 3,
            sent: 2_000_000,
            received: 0,
            layer: 0,
            solves: 1,
            containers: 2,
        }
    }

    #[test]
    fn a_median_of_an_even_number_lies_between_the_two_middle_ones() {
        let samples = [1.0, 4.0, 2.0, 3.0].map(sample);
        assert!((median(&samples, |one| one.seconds) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn rows_show_the_spread_only_where_there_is_one() {
        let mut table = Table::default();
        for seconds in [4.0, 2.0, 3.0] {
            table.add("floor", "cold", sample(seconds));
            table.add("reseal", "cold", sample(seconds * 2.0));
        }
        let text = table.render("linux/amd64");
        assert!(
            text.contains(
                "| floor, cold | 3 | 3.00 (2.00–4.00) | 1.00 | 1 | 3 | 2.0 | 0.0 | 0.00 | 1 | 2 |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| reseal, cold | 3 | 6.00 (4.00–8.00) | 2.00 |"),
            "{text}"
        );
    }
}
