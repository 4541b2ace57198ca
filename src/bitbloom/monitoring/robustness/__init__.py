"""How a trained model behaves on damaged, changed and unknown inputs.

    make robustness                        # reports/petals/robustness.html and .json
    bitbloom robustness petals --beside model=cnn --unknown photos/

`photos` damages photos and `sentences` texts, each in five severities. `measure` and `captions` compare a model's outputs with
the truth, `behaviour` runs tests of behaviour, `unknown` finds inputs of no known class, `page` writes the report. Nothing here
is an input or an output of the build.
"""
