//! Medians, ranges and percentiles.

/// Median, least and greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The spread of some values; there must be one at least.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    };
    Spread {
        median,
        min: values[0],
        max: values[values.len() - 1],
    }
}

/// Latencies of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Takes one, to the nanosecond; above four seconds they are all the same.
    pub(crate) fn record(&mut self, latency: std::time::Duration) {
        let nanoseconds = u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX);
        self.0.push(nanoseconds);
    }

    /// Number of latencies.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value in microseconds that `percent` of the latencies do not exceed: the nearest rank, so it is one that occurred.
    /// There must be one at least.
    pub(crate) fn percentile_us(&mut self, percent: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        f64::from(self.0[rank.clamp(1, self.0.len()) - 1]) / 1e3
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middle_ones() {
        fn check(values: &[f64], median: f64, min: f64, max: f64) {
            let expected = Spread { median, min, max };
            assert_eq!(spread(values.iter().copied()), expected, "{values:?}");
        }
        check(&[1.0], 1.0, 1.0, 1.0);
        check(&[4.0, 1.0, 3.0], 3.0, 1.0, 4.0);
        check(&[4.0, 1.0], 2.5, 1.0, 4.0);
    }

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        fn check(nanoseconds: &[u64], percent: f64, expected_us: f64) {
            let mut latencies = Latencies::default();
            for &value in nanoseconds {
                latencies.record(Duration::from_nanos(value));
            }
            assert_eq!(latencies.len(), nanoseconds.len());
            let got = latencies.percentile_us(percent);
            assert!((got - expected_us).abs() < 1e-9, "{percent} %: {got}");
        }
        let hundred: Vec<u64> = (1..=100).rev().map(|value| value * 1_000).collect();
        check(&hundred, 50.0, 50.0);
        check(&hundred, 99.0, 99.0);
        check(&hundred, 100.0, 100.0);
        check(&[7_000], 50.0, 7.0);
        check(&[7_000], 99.0, 7.0);
        check(&[1_000, 2_000, 3_000], 50.0, 2.0);
        check(&[60_000_000_000], 50.0, f64::from(u32::MAX) / 1e3);
    }
}
