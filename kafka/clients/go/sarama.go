package main

func saramaSteps(string, []string) {}
