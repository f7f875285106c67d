//! Medians, ratios and what they are worth.
