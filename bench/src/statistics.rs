//! Medians and ranges.

use crate::comparison::Pair;
use crate::rows::Load;

impl Load {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Microseconds of the server's processor time a message.
    pub(crate) fn cpu_each_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.messages as f64).max(1.0)
    }
}

/// Median, least and greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// The spread of `value` over the pairs; there must be one at least.
pub(crate) fn spread(pairs: &[Pair], value: impl Fn(&Pair) -> f64) -> Spread {
    let mut values: Vec<f64> = pairs.iter().map(value).collect();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pair(ours: u64, reference: u64) -> Pair {
        let load = |messages| Load {
            messages,
            elapsed: Duration::from_secs(2),
            cpu: Duration::from_secs(1),
        };
        Pair {
            ours: load(ours),
            reference: load(reference),
        }
    }

    #[test]
    fn the_median_of_ratios_is_taken_pair_by_pair() {
        let ratio = |pair: &Pair| pair.ours.rate() / pair.reference.rate();
        let odd = spread(&[pair(10, 10), pair(40, 10), pair(30, 10)], ratio);
        assert_eq!(
            odd,
            Spread {
                median: 3.0,
                min: 1.0,
                max: 4.0
            }
        );
        let even = spread(&[pair(10, 10), pair(40, 10)], ratio);
        assert_eq!(
            even,
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
    }

    #[test]
    fn rates_and_costs_have_their_units() {
        let load = pair(1_000_000, 1).ours;
        assert!((load.rate() - 500_000.0).abs() < 1e-6);
        assert!((load.cpu_each_us() - 1.0).abs() < 1e-9);
    }
}
