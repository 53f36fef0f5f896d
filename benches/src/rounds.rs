//! Taking turns, so that what else the machine does meets everybody alike.

/// Measures each side once a round. The samples are in the order of the sides.
pub(crate) async fn interleaved<S: Copy>(
    rounds: usize,
    sides: &[S],
    mut measure: impl AsyncFnMut(S) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut samples = vec![Vec::with_capacity(rounds); sides.len()];
    for round in 0..rounds {
        for side in turns(round, sides.len()) {
            samples[side].push(measure(sides[side]).await?);
        }
    }
    Ok(samples)
}

/// Who comes after whom in a round: over the rounds each side begins, and follows each other one, equally often (a Williams
/// design), as who comes after another finds the disk as that one left it.
pub(crate) fn turns(round: usize, sides: usize) -> impl Iterator<Item = usize> {
    let is_mirrored = sides % 2 == 1 && (round / sides) % 2 == 1;
    (0..sides).map(move |turn| {
        let turn = if is_mirrored { sides - 1 - turn } else { turn };
        let step = if turn % 2 == 0 {
            turn / 2
        } else {
            sides - turn.div_ceil(2)
        };
        (round + step) % sides
    })
}

/// The middle value; of an even number of them, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The value that this share of all does not exceed.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
