from trackbridge_examples.sweep.command import main

if __name__ == "__main__":
    main()
