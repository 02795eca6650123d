"""Ranks survey alerts by how strange their light curves are: Kafka in, Kafka out."""
