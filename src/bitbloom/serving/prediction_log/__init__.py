"""The prediction log of a service: predictions, what their inputs were like, true labels. Off unless BITBLOOM_LOG is set.

    log = PredictionLog.open(folder, kind, digests)           # or None
    origin = log.origin()                                     # in the event loop; names the prediction in X-Prediction-Id
    log.note_image(origin, photo, square, Outcome("poppy", 0.9, embedding))

docs/prediction-log.md describes the settings, the files and their columns. This package imports PyArrow only when the log is on.
"""
