"""The prediction log of a service: predictions, what their inputs were like, true labels. Off unless BITBLOOM_LOG is set.

    log = PredictionLog.open(application)   # or None
    origin = log.origin()                   # in the event loop; names the prediction in X-Prediction-Id
    log.note(Observation.of_image(origin, …))

docs/prediction-log.md describes the settings, the files and their columns. PyArrow is imported only when the log is on.
"""
