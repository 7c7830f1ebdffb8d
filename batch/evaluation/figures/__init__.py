"""Figures of a whole score: classification, corpus values, means over groups, calibration of confidences, a user's own metrics."""
