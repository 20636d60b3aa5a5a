//! Latencies of one sysbench run, from the histogram that it prints.

/// Latencies with their counts, in the order of the latencies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: Vec<(f64, u64)>,
    total: u64,
}

impl Histogram {
    /// Takes a line like `       0.150 |**********      4711` if it is one: milliseconds,
    /// a bar, events.
    pub fn take_line(&mut self, line: &str) {
        let Some((value, rest)) = line.split_once('|') else {
            return;
        };
        let count = rest.trim_start_matches('*').trim().parse();
        if let (Ok(milliseconds), Ok(count)) = (value.trim().parse::<f64>(), count) {
            self.buckets.push((milliseconds * 1_000.0, count));
            self.total += count;
        }
    }

    /// The latency, in microseconds, that this part of all events did not exceed. sysbench's
    /// buckets grow by 1.8 % each; between two of them it is interpolated.
    pub fn percentile_us(&self, part: f64) -> f64 {
        let wanted = part * self.total as f64;
        let (mut below, mut previous) = (0.0, None);
        for (value, count) in &self.buckets {
            let count = *count as f64;
            if below + count >= wanted {
                let inside = ((wanted - below) / count).clamp(0.0, 1.0);
                // The first bucket printed may follow empty ones.
                let low = previous.unwrap_or(value / 1.018_f64).max(value / 1.018);
                return low + (value - low) * inside;
            }
            below += count;
            previous = Some(*value);
        }
        previous.unwrap_or_default()
    }

    /// How many events there were.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(text: &str) -> Histogram {
        let mut histogram = Histogram::default();
        text.lines().for_each(|line| histogram.take_line(line));
        histogram
    }

    #[test]
    fn reads_what_sysbench_prints() {
        let text = "Latency histogram (values are in milliseconds)\n\
                    \x20      value  ------------- distribution ------------- count\n\
                    \x20      0.100 |******                                   50\n\
                    \x20      0.102 |****************************************| 40\n";
        let found = histogram(&text.replace("| 40", " 40"));
        assert_eq!(found.total(), 90);
        assert_eq!(found.buckets, [(100.0, 50), (102.0, 40)]);
    }

    #[test]
    fn percentiles_lie_in_their_bucket() {
        let found = histogram("0.100 |* 50\n0.200 |* 45\n9.000 |* 5\n");
        assert!((98.0..=100.0).contains(&found.percentile_us(0.5)));
        assert!((196.0..=200.0).contains(&found.percentile_us(0.95)));
        assert!((8_800.0..=9_000.0).contains(&found.percentile_us(0.99)));
        assert_eq!(histogram("").percentile_us(0.5), 0.0);
    }
}
