from trackbridge_examples.madgrad.command import main

if __name__ == "__main__":
    main()
