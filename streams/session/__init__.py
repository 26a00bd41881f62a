"""The Spark session, and the Java and the jars that it needs."""
