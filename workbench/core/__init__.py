"""The words the whole house speaks: horizons, types, units, errors, time. Imports nothing of ours."""
