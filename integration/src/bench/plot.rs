//! What the application felt of a run, drawn: writes a second, and their p99, before, during and
//! after it.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, DrawingArea, IntoDrawingArea, LineSeries, PathElement, RED,
    SVGBackend, Text, WHITE,
};

use super::competitor::Phase;
use super::load::Tick;
use super::summary::{Latency, Sample};

const SIZE: (u32, u32) = (1000, 560);

/// Draws the last run of every competitor into a file of its own, named after the title and the
/// competitor.
///
/// # Errors
/// When a file cannot be written.
pub fn draw(folder: &Path, title: &str, samples: &[Sample]) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for sample in samples {
        let Some(latency) = &sample.load else { continue };
        let title = format!("{title}: {}", sample.competitor.name());
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let words: String = title.to_lowercase().chars().map(plain).collect();
        let name: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
        let path = folder.join(name.join("-") + ".svg");
        draw_one(&path, &title, latency, &sample.run.phases)?;
    }
    Ok(())
}

fn draw_one(
    path: &Path,
    title: &str,
    latency: &Latency,
    phases: &[Phase],
) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(SIZE.1 / 2);
    let end = latency.course.last().map_or(1.0, |tick| tick.at.as_secs_f64());
    let curve =
        |area: &DrawingArea<SVGBackend, Shift>, caption: &str, color, value: fn(&Tick) -> f64| {
            let points: Vec<(f64, f64)> =
                latency.course.iter().map(|tick| (tick.at.as_secs_f64(), value(tick))).collect();
            let top = points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.1;
            let mut chart = ChartBuilder::on(area)
                .caption(caption, ("sans-serif", 16))
                .margin(8)
                .x_label_area_size(28)
                .y_label_area_size(52)
                .build_cartesian_2d(0.0..end, 0.0..top)?;
            chart.configure_mesh().x_desc("seconds").draw()?;
            chart.draw_series(LineSeries::new(points, &color))?;
            for phase in phases {
                let x = (latency.began + phase.began).as_secs_f64();
                chart.draw_series([PathElement::new([(x, 0.0), (x, top)], BLACK)])?;
                chart.draw_series([Text::new(phase.name.clone(), (x, top), ("sans-serif", 12))])?;
            }
            Ok::<(), Box<dyn Error>>(())
        };
    curve(&above, &format!("{title}: writes a second"), BLUE, |tick| tick.rate)?;
    curve(&below, "their p99, ms", RED, |tick| tick.p99.as_secs_f64() * 1e3)?;
    area.present()?;
    Ok(())
}
