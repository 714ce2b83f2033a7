"""Programs that measure the code: its speed, each beside its floor, and its planners. No product.

`python -m benchmarks.NAME`, from the root of the repository; README.md lists them.
"""
