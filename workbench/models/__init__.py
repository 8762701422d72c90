"""Stage 3: families of models, the strategies that wrap them, and the predictor that runs what was fitted."""
