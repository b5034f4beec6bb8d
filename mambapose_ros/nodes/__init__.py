"""The only code that knows ROS: thin nodes around the rest of the package."""
