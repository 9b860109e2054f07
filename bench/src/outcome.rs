//! What one run of one server yields.

use std::ops::AddAssign;
use std::time::Duration;

use crate::figure::Figure;

/// What a load generator did in the measured part of its run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Messages that count: published, delivered or acknowledged, as the row says.
    pub(crate) messages: u64,
    /// How long that took.
    pub(crate) elapsed: Duration,
    /// Processor time of the server in the same span.
    pub(crate) cpu: Duration,
}

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

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.elapsed += other.elapsed;
        self.cpu += other.cpu;
    }
}

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome(Vec<(Figure, f64)>);

impl Outcome {
    /// Adds a figure.
    pub(crate) fn with(mut self, figure: Figure, value: f64) -> Self {
        self.0.push((figure, value));
        self
    }

    /// The value of a figure.
    ///
    /// # Panics
    /// When the run does not yield it: the row promises a line that its load generator does not fill.
    pub(crate) fn value(&self, figure: Figure) -> f64 {
        let found = self.0.iter().find(|(own, _)| *own == figure);
        found
            .unwrap_or_else(|| panic!("no {figure:?} in {self:?}"))
            .1
    }

    /// All figures, for the progress output.
    pub(crate) fn describe(&self) -> String {
        let all = self.0.iter();
        let all = all.map(|(figure, value)| {
            let decimals = figure.decimals();
            format!("{}: {value:.decimals$}", figure.title())
        });
        all.collect::<Vec<_>>().join("; ")
    }
}

impl From<Load> for Outcome {
    fn from(load: Load) -> Self {
        Self::default()
            .with(Figure::Rate, load.rate())
            .with(Figure::Cpu, load.cpu_each_us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_costs_have_their_units() {
        let mut load = Load {
            messages: 600_000,
            elapsed: Duration::from_secs(1),
            cpu: Duration::from_millis(700),
        };
        load += Load {
            messages: 400_000,
            elapsed: Duration::from_secs(1),
            cpu: Duration::from_millis(300),
        };
        let outcome = Outcome::from(load);
        assert!((outcome.value(Figure::Rate) - 500_000.0).abs() < 1e-6);
        assert!((outcome.value(Figure::Cpu) - 1.0).abs() < 1e-9);
        assert_eq!(outcome.describe(), "rate, /s: 500000; CPU, us: 1.000");
    }
}
