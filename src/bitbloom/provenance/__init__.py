"""What is proven of a build: rebuilt and compared, run hermetically, attested, and two trainings side by side."""
